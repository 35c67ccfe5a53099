//! What the deployment's topic tells those who listen to it.

use anyhow::Context;
use serde_json::{Value, json};

use super::aws::Caller;
use crate::aws::{ACCOUNT, REGION};

/// Name of the queue that listens.
const QUEUE: &str = "notices";

/// A queue that gets every notice of a topic.
#[derive(Debug, Clone)]
pub struct Notices {
    root: Caller,
    url: String,
}

impl Notices {
    /// Begins to listen to the topic `arn`.
    ///
    /// # Errors
    /// When queue or subscription are refused.
    pub(super) async fn listen(root: &Caller, arn: &str) -> anyhow::Result<Self> {
        let queue = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}");
        let let_in = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": queue,
        }]});
        let body = json!({"QueueName": QUEUE, "Attributes": {"Policy": let_in.to_string()}});
        let answer = root.json("sqs", "AmazonSQS.CreateQueue", &body).await?;
        let url = answer["QueueUrl"].as_str().context("a queue without a URL")?.to_owned();
        let fields = [("TopicArn", arn), ("Protocol", "sqs"), ("Endpoint", &queue)];
        root.form("sns", "Subscribe", &fields).await?;
        Ok(Self { root: root.clone(), url })
    }

    /// The notices since the last call, each with its subject in front.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn new_ones(&self) -> anyhow::Result<Vec<String>> {
        let mut notices = Vec::new();
        loop {
            let body = json!({"QueueUrl": self.url, "MaxNumberOfMessages": 10});
            let answer = self.root.json("sqs", "AmazonSQS.ReceiveMessage", &body).await?;
            let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
            if messages.is_empty() {
                return Ok(notices);
            }
            for message in messages {
                let notice: Value = serde_json::from_str(message["Body"].as_str().unwrap_or_default())?;
                let part = |name: &str| notice[name].as_str().unwrap_or_default().to_owned();
                notices.push(format!("{}: {}", part("Subject"), part("Message")));
                let body = json!({"QueueUrl": self.url, "ReceiptHandle": message["ReceiptHandle"]});
                self.root.json("sqs", "AmazonSQS.DeleteMessage", &body).await?;
            }
        }
    }
}

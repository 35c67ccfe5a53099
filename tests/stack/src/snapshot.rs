//! Keeping the AWS stand-in's state over a restart: moto holds it in memory only.
//!
//! The table goes to `table.jsonl`, one item a line as DynamoDB writes it; a bucket to `<bucket>/objects.jsonl` with
//! one line of properties per object and a file per content. Executions of the state machine cannot be kept.

use std::{collections::HashMap, io::Write, path::Path};

use anyhow::Context;
use aws_sdk_s3::{
    Client,
    primitives::{ByteStream, DateTime, DateTimeFormat},
    types::ObjectLockMode,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    aws::{self, EVIDENCE_BUCKET, SEGMENTS_BUCKET, TABLE},
    http,
};

const COMPLETE: &str = "complete";

/// One object, apart from its content.
#[derive(Debug, Serialize, Deserialize)]
struct Object {
    key: String,
    file: String,
    content_type: Option<String>,
    metadata: HashMap<String, String>,
    lock_mode: Option<String>,
    retain_until: Option<String>,
}

/// Saves everything below `dir`, replacing an older snapshot.
///
/// # Errors
/// When moto does not answer or the disk is full; the older snapshot is then gone.
pub(crate) async fn save(endpoint: &str, dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    std::fs::create_dir_all(dir)?;
    save_table(endpoint, &dir.join("table.jsonl")).await?;
    let s3 = aws::s3(endpoint);
    for bucket in [SEGMENTS_BUCKET, EVIDENCE_BUCKET] {
        save_bucket(&s3, bucket, &dir.join(bucket)).await.with_context(|| format!("saving the bucket {bucket}"))?;
    }
    Ok(std::fs::write(dir.join(COMPLETE), "")?)
}

/// Puts a snapshot back into an empty table and empty buckets; nothing when there is no complete snapshot.
///
/// # Errors
/// When the snapshot is damaged or moto refuses.
pub(crate) async fn restore(endpoint: &str, dir: &Path) -> anyhow::Result<()> {
    if !dir.join(COMPLETE).exists() {
        return Ok(());
    }
    for item in read_lines::<Value>(&dir.join("table.jsonl"))? {
        let body = json!({"TableName": TABLE, "Item": item});
        http::aws_json(endpoint, "DynamoDB_20120810.PutItem", &body).await?;
    }
    let s3 = aws::s3(endpoint);
    for bucket in [SEGMENTS_BUCKET, EVIDENCE_BUCKET] {
        restore_bucket(&s3, bucket, &dir.join(bucket)).await.with_context(|| format!("restoring {bucket}"))?;
    }
    Ok(())
}

async fn save_table(endpoint: &str, path: &Path) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    let mut start = Value::Null;
    loop {
        let mut body = json!({"TableName": TABLE, "ConsistentRead": true});
        if !start.is_null() {
            body["ExclusiveStartKey"] = start;
        }
        let mut page = http::aws_json(endpoint, "DynamoDB_20120810.Scan", &body).await?;
        for item in page["Items"].as_array().into_iter().flatten() {
            writeln!(lines, "{item}")?;
        }
        start = page["LastEvaluatedKey"].take();
        if start.is_null() {
            return std::fs::write(path, lines).with_context(|| format!("writing {}", path.display()));
        }
    }
}

async fn save_bucket(s3: &Client, bucket: &str, dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let mut lines = Vec::new();
    let mut pages = s3.list_objects_v2().bucket(bucket).into_paginator().send();
    while let Some(page) = pages.next().await {
        for key in page?.contents().iter().filter_map(|object| object.key()) {
            let file = format!("{:08}", lines.iter().filter(|byte| **byte == b'\n').count());
            let object = save_object(s3, bucket, key, file, dir).await.with_context(|| key.to_owned())?;
            writeln!(lines, "{}", serde_json::to_string(&object)?)?;
        }
    }
    Ok(std::fs::write(dir.join("objects.jsonl"), lines)?)
}

async fn save_object(s3: &Client, bucket: &str, key: &str, file: String, dir: &Path) -> anyhow::Result<Object> {
    let object = s3.get_object().bucket(bucket).key(key).send().await?;
    let described = Object {
        key: key.to_owned(),
        file,
        content_type: object.content_type().map(str::to_owned),
        metadata: object.metadata().cloned().unwrap_or_default(),
        lock_mode: object.object_lock_mode().map(|mode| mode.as_str().to_owned()),
        retain_until: object
            .object_lock_retain_until_date()
            .map(|until| until.fmt(DateTimeFormat::DateTime))
            .transpose()?,
    };
    let mut content = object.body.into_async_read();
    let mut out = tokio::fs::File::create(dir.join(&described.file)).await?;
    tokio::io::copy(&mut content, &mut out).await?;
    Ok(described)
}

async fn restore_bucket(s3: &Client, bucket: &str, dir: &Path) -> anyhow::Result<()> {
    for object in read_lines::<Object>(&dir.join("objects.jsonl"))? {
        let until = object.retain_until.as_deref().map(|text| DateTime::from_str(text, DateTimeFormat::DateTime));
        s3.put_object()
            .bucket(bucket)
            .key(&object.key)
            .set_content_type(object.content_type)
            .set_metadata((!object.metadata.is_empty()).then_some(object.metadata))
            .set_object_lock_mode(object.lock_mode.as_deref().map(ObjectLockMode::from))
            .set_object_lock_retain_until_date(until.transpose()?)
            .body(ByteStream::from_path(dir.join(&object.file)).await?)
            .send()
            .await
            .with_context(|| object.key.clone())?;
    }
    Ok(())
}

fn read_lines<T: for<'a> Deserialize<'a>>(path: &Path) -> anyhow::Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let damaged = || format!("{} is damaged", path.display());
    text.lines().map(|line| serde_json::from_str(line).with_context(damaged)).collect()
}

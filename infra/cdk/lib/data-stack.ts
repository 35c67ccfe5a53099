/** What outlives a deployment: the journal, the working data, the evidence and their key. Nothing here is ever deleted by CDK. */

import { Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import type { StackProps } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as s3 from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';

import type { Config, Retention } from './config.ts';
import type { Deployment } from './deployment.ts';
import { existingKey } from './key.ts';
import type { Names } from './names.ts';

/** Kept when it leaves the stack or the stack goes, and removed when its own creation fails. */
const KEPT = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE;
/** Old versions of working data are there to undo mistakes, not to be kept. */
const OLD_VERSIONS = Duration.days(7);

/** What publishing to an encrypted topic takes. */
const PUBLISH = ['kms:Decrypt', 'kms:GenerateDataKey*'];

/** The stateful resources. */
export class DataStack extends Stack {
  /** The key that table, working data, logs and notices are encrypted with. */
  readonly key: kms.IKey | undefined;

  constructor(scope: Construct, id: string, { config, names }: Deployment, props: StackProps) {
    super(scope, id, props);
    this.key = config.encryptionKey === 'create' ? createKey(this, config, names) : existingKey(this, config);
    if (config.journal.table === undefined) {
      journal(this, names, this.key);
    }
    const logs = accessLogs(this, config);
    if (config.backup.bucket === undefined) {
      backup(this, config, names, this.key, logs);
    }
    if (config.evidence.bucket === undefined) {
      evidence(this, config, names, logs);
    }
  }

  /** Whether there is anything that is not there already. */
  static isNeeded({ journal, backup, evidence, encryptionKey }: Config): boolean {
    return encryptionKey === 'create' || [journal.table, backup.bucket, evidence.bucket].includes(undefined);
  }
}

function createKey(scope: Construct, config: Config, names: Names): kms.IKey {
  const created = new kms.Key(scope, 'Key', {
    description: `Journal, working data, logs and notices of ${config.name}`,
    enableKeyRotation: true,
    removalPolicy: KEPT,
  });
  created.addAlias(`alias/${config.name}`);
  for (const statement of keyStatements(config, names)) {
    created.addToResourcePolicy(statement);
  }
  return created;
}

/** Who may use the key beside those whose own policy says so: AWS's services on behalf of this deployment. */
function keyStatements(config: Config, names: Names): iam.PolicyStatement[] {
  const { account, region } = config;
  const resources = ['*'];
  const use = ['kms:Decrypt', 'kms:Encrypt', 'kms:GenerateDataKey*', 'kms:ReEncrypt*'];
  const throughDynamoDb = { 'kms:CallerAccount': account, 'kms:ViaService': `dynamodb.${region}.amazonaws.com` };
  return [
    // DynamoDB asks on behalf of whoever may use the table.
    new iam.PolicyStatement({
      sid: 'ThroughDynamoDb',
      principals: [new iam.AnyPrincipal()],
      actions: [...use, 'kms:DescribeKey'],
      resources,
      conditions: { StringEquals: throughDynamoDb },
    }),
    new iam.PolicyStatement({
      sid: 'DynamoDbInTheBackground',
      principals: [new iam.AnyPrincipal()],
      actions: ['kms:CreateGrant'],
      resources,
      conditions: { StringEquals: throughDynamoDb, Bool: { 'kms:GrantIsForAWSResource': 'true' } },
    }),
    new iam.PolicyStatement({
      sid: 'LogsOfThisDeployment',
      principals: [new iam.ServicePrincipal(`logs.${region}.amazonaws.com`)],
      actions: [...use, 'kms:DescribeKey'],
      resources,
      conditions: {
        ArnLike: {
          'kms:EncryptionContext:aws:logs:arn': [
            names.arn('logs', `log-group:${names.functionLog('*')}`),
            names.arn('logs', `log-group:${names.stateMachineLog}`),
          ],
        },
      },
    }),
    new iam.PolicyStatement({
      sid: 'AlarmsOfThisAccount',
      principals: [new iam.ServicePrincipal('cloudwatch.amazonaws.com')],
      actions: PUBLISH,
      resources,
      conditions: { StringEquals: { 'aws:SourceAccount': account } },
    }),
    // EventBridge tells KMS neither account nor rule; the topic's policy asks it for the account.
    new iam.PolicyStatement({
      sid: 'NoticesOfExecutions',
      principals: [new iam.ServicePrincipal('events.amazonaws.com')],
      actions: PUBLISH,
      resources,
    }),
  ];
}

function journal(scope: Construct, names: Names, encryptionKey: kms.IKey | undefined): void {
  new dynamodb.Table(scope, 'Journal', {
    tableName: names.table,
    partitionKey: { name: 'pk', type: dynamodb.AttributeType.STRING },
    sortKey: { name: 'sk', type: dynamodb.AttributeType.STRING },
    billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
    deletionProtection: true,
    removalPolicy: KEPT,
    encryption: encryptionKey ? dynamodb.TableEncryption.CUSTOMER_MANAGED : dynamodb.TableEncryption.AWS_MANAGED,
    encryptionKey,
  });
}

function accessLogs(scope: Construct, { accessLogBucket }: Config): s3.IBucket | undefined {
  return accessLogBucket === undefined ? undefined : s3.Bucket.fromBucketName(scope, 'AccessLogs', accessLogBucket);
}

/** What both buckets have in common. */
function common(bucketName: string, logs: s3.IBucket | undefined): s3.BucketProps {
  return {
    bucketName,
    versioned: true,
    enforceSSL: true,
    minimumTLSVersion: 1.2,
    blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
    objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
    removalPolicy: KEPT,
    serverAccessLogsBucket: logs,
    serverAccessLogsPrefix: logs && `${bucketName}/`,
  };
}

function backup(
  scope: Construct,
  { backup }: Config,
  names: Names,
  encryptionKey: kms.IKey | undefined,
  logs: s3.IBucket | undefined,
): void {
  const bucket = new s3.Bucket(scope, 'Backup', {
    ...common(names.backupBucket, logs),
    encryption: encryptionKey ? s3.BucketEncryption.KMS : s3.BucketEncryption.S3_MANAGED,
    encryptionKey,
    bucketKeyEnabled: encryptionKey !== undefined,
    lifecycleRules: [
      {
        id: 'segments-of-ended-migrations',
        expiration: Duration.days(backup.expireDays),
        noncurrentVersionExpiration: OLD_VERSIONS,
        abortIncompleteMultipartUploadAfter: OLD_VERSIONS,
      },
      { id: 'deletion-markers', expiredObjectDeleteMarker: true },
    ],
  });
  keepPolicy(bucket);
  acknowledgeLogs(bucket, logs);
}

/** S3's own keys encrypt the evidence: it has to be readable for as long as it is locked, and a key of ours can be deleted. */
function evidence(scope: Construct, { evidence }: Config, names: Names, logs: s3.IBucket | undefined): void {
  const bucket = new s3.Bucket(scope, 'Evidence', {
    ...common(names.evidenceBucket, logs),
    encryption: s3.BucketEncryption.S3_MANAGED,
    objectLockEnabled: evidence.objectLock,
    objectLockDefaultRetention: evidence.retention && lock(evidence.retention),
  });
  keepPolicy(bucket);
  acknowledgeLogs(bucket, logs);
}

function lock({ mode, days }: Retention): s3.ObjectLockRetention {
  const duration = Duration.days(days);
  return mode === 'compliance'
    ? s3.ObjectLockRetention.compliance(duration)
    : s3.ObjectLockRetention.governance(duration);
}

/** What refuses unencrypted requests stays with a bucket that stays. */
function keepPolicy(bucket: s3.Bucket): void {
  bucket.policy?.applyRemovalPolicy(KEPT);
}

function acknowledgeLogs(bucket: s3.Bucket, logs: s3.IBucket | undefined): void {
  const acknowledgement =
    logs === undefined
      ? {
          id: 'AwsSolutions-S1',
          reason: 'Where access logs go is decided for an account: access_log_bucket names the bucket.',
        }
      : {
          id: 'Annotation::@aws-cdk/aws-s3:accessLogsPolicyNotAdded',
          reason: 'The bucket of access logs has a policy of its own.',
        };
  Validations.of(bucket).acknowledge(acknowledgement);
}

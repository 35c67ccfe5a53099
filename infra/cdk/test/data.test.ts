import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Match } from 'aws-cdk-lib/assertions';

import { configured, deployed, named, resources, templates } from './support.ts';

const complete = templates(configured('complete'));
const { data } = complete;
assert(data);

const KEPT = ['AWS::KMS::Key', 'AWS::DynamoDB::Table', 'AWS::S3::Bucket', 'AWS::S3::BucketPolicy'];

test('the journal is on demand, can be restored, and cannot be deleted by mistake', () => {
  data.hasResourceProperties('AWS::DynamoDB::Table', {
    TableName: 'orders-kraft-journal',
    KeySchema: [
      { AttributeName: 'pk', KeyType: 'HASH' },
      { AttributeName: 'sk', KeyType: 'RANGE' },
    ],
    AttributeDefinitions: [
      { AttributeName: 'pk', AttributeType: 'S' },
      { AttributeName: 'sk', AttributeType: 'S' },
    ],
    BillingMode: 'PAY_PER_REQUEST',
    PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
    DeletionProtectionEnabled: true,
    SSESpecification: {
      SSEEnabled: true,
      SSEType: 'KMS',
      KMSMasterKeyId: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Key'), 'Arn'] },
    },
  });
});

test('what outlives a deployment is kept when a stack goes, and only then', () => {
  const kept = KEPT.flatMap((type) => resources(data, type));
  assert.equal(kept.length, 6);
  for (const [id, { DeletionPolicy }] of kept) {
    assert.equal(DeletionPolicy, 'RetainExceptOnCreate', id);
  }
  for (const type of KEPT) {
    complete.main.resourceCountIs(type, 0);
  }
});

test('both stacks are protected from termination unless it is said otherwise', () => {
  const protectedStacks = deployed(configured('minimal'));
  assert.deepEqual(
    [protectedStacks.main, protectedStacks.data].map((stack) => stack?.terminationProtection),
    [true, true],
  );
  const open = deployed(configured('minimal', { terminationProtection: false }));
  assert.deepEqual(
    [open.main, open.data].map((stack) => stack?.terminationProtection),
    [false, false],
  );
});

test('buckets keep versions, are private, and refuse what is not TLS', () => {
  for (const name of ['backup', 'evidence']) {
    const bucketName = `orders-kraft-${name}-123456789012-eu-west-2`;
    const { Properties } = named(data, 'AWS::S3::Bucket', 'BucketName', bucketName);
    assert.deepEqual(Properties['VersioningConfiguration'], { Status: 'Enabled' });
    assert.deepEqual(Object.values(Properties['PublicAccessBlockConfiguration']), [true, true, true, true]);
    assert.deepEqual(Properties['OwnershipControls'], { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] });
    assert.deepEqual(Properties['LoggingConfiguration'], {
      DestinationBucketName: 'example-access-logs',
      LogFilePrefix: `${bucketName}/`,
    });
  }
  const policies = resources(data, 'AWS::S3::BucketPolicy');
  assert.equal(policies.length, 2);
  for (const [, { Properties }] of policies) {
    const denied = Properties['PolicyDocument'].Statement.map(
      ({ Effect, Principal, Condition }: Record<string, unknown>) => ({
        Effect,
        Principal,
        Condition,
      }),
    );
    const everybody = { Effect: 'Deny', Principal: { AWS: '*' } };
    assert.deepEqual(denied, [
      { ...everybody, Condition: { Bool: { 'aws:SecureTransport': 'false' } } },
      { ...everybody, Condition: { NumericLessThan: { 's3:TlsVersion': 1.2 } } },
    ]);
  }
});

test('working data is encrypted with the key and ends', () => {
  const { Properties } = named(data, 'AWS::S3::Bucket', 'BucketName', 'orders-kraft-backup-123456789012-eu-west-2');
  const [encryption] = Properties['BucketEncryption'].ServerSideEncryptionConfiguration;
  assert.equal(encryption.BucketKeyEnabled, true);
  assert.equal(encryption.ServerSideEncryptionByDefault.SSEAlgorithm, 'aws:kms');
  const rules = Properties['LifecycleConfiguration'].Rules as Array<Record<string, unknown>>;
  assert.equal(rules.length, 2);
  assert.equal(rules[0]?.['ExpirationInDays'], 60);
  assert.equal(rules[1]?.['ExpiredObjectDeleteMarker'], true);
  assert.equal(Properties['ObjectLockEnabled'], undefined, 'beginning again deletes working data');
});

test('evidence is locked, never ends, and needs no key that can be deleted', () => {
  const { Properties } = named(data, 'AWS::S3::Bucket', 'BucketName', 'orders-kraft-evidence-123456789012-eu-west-2');
  assert.equal(Properties['ObjectLockEnabled'], true);
  assert.deepEqual(Properties['ObjectLockConfiguration'], {
    ObjectLockEnabled: 'Enabled',
    Rule: { DefaultRetention: { Days: 365, Mode: 'GOVERNANCE' } },
  });
  const [encryption] = Properties['BucketEncryption'].ServerSideEncryptionConfiguration;
  assert.equal(encryption.ServerSideEncryptionByDefault.SSEAlgorithm, 'AES256');
  assert.equal(Properties['LifecycleConfiguration'], undefined);
  const minimal = named(templates(configured('minimal')).data, 'AWS::S3::Bucket', 'ObjectLockEnabled', true as never);
  assert.equal(minimal.Properties['ObjectLockConfiguration']?.Rule, undefined, 'migrations say how long by themselves');
});

test('without Object Lock the bucket has none, and nobody may lock', () => {
  const { evidence } = configured('minimal');
  const { main, data } = templates(configured('minimal', { evidence: { ...evidence, objectLock: false } }));
  assert.equal(
    resources(data, 'AWS::S3::Bucket').filter(([, { Properties }]) => Properties['ObjectLockEnabled']).length,
    0,
  );
  assert.doesNotMatch(JSON.stringify(main.toJSON()), /s3:PutObjectRetention/);
});

test('the key turns, and serves AWS for this deployment alone', () => {
  const [[, key] = []] = resources(data, 'AWS::KMS::Key');
  assert(key);
  assert.equal(key.Properties['EnableKeyRotation'], true);
  const [owner, ...services] = key.Properties['KeyPolicy'].Statement;
  assert.deepEqual(owner.Principal, {
    AWS: { 'Fn::Join': ['', ['arn:', { Ref: 'AWS::Partition' }, ':iam::123456789012:root']] },
  });
  assert.deepEqual(
    services.map(({ Sid }: { Sid: string }) => Sid),
    [
      'ThroughDynamoDb',
      'DynamoDbInTheBackground',
      'LogsOfThisDeployment',
      'AlarmsOfThisAccount',
      'NoticesOfExecutions',
    ],
  );
  for (const { Condition, Sid, Action } of services) {
    assert(Condition || Sid === 'NoticesOfExecutions', Sid);
    assert.doesNotMatch(JSON.stringify(Action), /"kms:\*"/, Sid);
  }
});

test('what is there already is used and not created', () => {
  const { backup, evidence } = configured('minimal');
  const { main, data } = templates(
    configured('minimal', {
      journal: { table: 'our-journal' },
      backup: { ...backup, bucket: 'our-backup' },
      evidence: { ...evidence, bucket: 'our-evidence' },
      encryptionKey: 'arn:aws:kms:eu-west-2:123456789012:key/0a1b2c3d-0000-4000-8000-000000000009',
    }),
  );
  assert.equal(data, undefined);
  const text = JSON.stringify(main.toJSON());
  for (const arn of [
    ':table/our-journal',
    ':::our-backup/*',
    ':::our-evidence/*',
    ':key/0a1b2c3d-0000-4000-8000-000000000009',
  ]) {
    assert(text.includes(arn), arn);
  }
  assert.doesNotMatch(text, /ImportValue/);
});

test('without a key AWS encrypts with its own', () => {
  const { main, data } = templates(configured('minimal', { encryptionKey: 'none' }));
  data?.resourceCountIs('AWS::KMS::Key', 0);
  data?.hasResourceProperties('AWS::DynamoDB::Table', { SSESpecification: { SSEEnabled: true } });
  assert.doesNotMatch(JSON.stringify(main.toJSON()), /kms:Decrypt|KmsKeyId|KmsMasterKeyId/);
});

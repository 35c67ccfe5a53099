/** The configuration of a deployment: `deployment.yaml` as typed values, with every default filled in. */

import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { parseDocument } from 'yaml';

import * as forms from './forms.ts';
import { ConfigError, Reader } from './reader.ts';

/** The ways to sign in to a cluster. */
export const AUTH_MODES = ['plaintext', 'tls', 'mtls', 'scram-sha-512', 'iam'] as const;
export type AuthMode = (typeof AUTH_MODES)[number];

const ARCHITECTURES = ['arm64', 'x86_64'] as const;
/** What CloudWatch Logs takes, from the shortest time that outlives a migration on. */
const RETENTION_DAYS = [7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
/** Where `make package` puts the functions, from the root of the repository. */
const PACKAGES = fileURLToPath(new URL('../../../target/package/', import.meta.url));

/** One side of the migrations. */
export interface Side {
  readonly clusterArns: readonly string[];
  readonly auth: AuthMode;
  /** Whether migrations name bootstrap servers, so that the MSK API is not asked for them. */
  readonly bootstrapServersConfigured: boolean;
  /** Secrets of yours that migrations name, and their keys; no keys stands for any key of the secrets' accounts. */
  readonly secretArns: readonly string[];
  readonly secretKeyArns: readonly string[];
  /** The role to assume for clusters of another account. */
  readonly roleArn: string | undefined;
  /** Where the brokers are, from the functions' point of view. */
  readonly securityGroupIds: readonly string[];
  readonly cidrs: readonly string[];
  /** Ports other than those that MSK has for the way to sign in. */
  readonly ports: readonly number[];
}

/** The VPC that the functions which talk to brokers join. */
export interface Network {
  readonly vpcId: string;
  readonly subnetIds: readonly string[];
  readonly availabilityZones: readonly string[];
  readonly routeTableIds: readonly string[];
  readonly endpoints: 'create' | 'existing' | 'none';
  readonly endpointSecurityGroupIds: readonly string[];
  readonly prefixListIds: readonly string[];
  /** Whether the brokers' security groups get a rule that lets the functions in. */
  readonly brokerIngress: boolean;
}

/** How long every object of a bucket is locked when nothing else is said. */
export interface Retention {
  readonly mode: 'compliance' | 'governance';
  readonly days: number;
}

/** What is deployed. */
export interface Config {
  readonly name: string;
  readonly account: string;
  readonly region: string;
  /** Whether it is for a stand-in of AWS on one machine; see `infra/cdk/README.md` for what that changes. */
  readonly local: boolean;
  readonly packages: { readonly directory: string; readonly architecture: (typeof ARCHITECTURES)[number] };
  readonly source: Side;
  readonly target: Side;
  readonly network: Network | undefined;
  /** The journal's table, when it is there already. */
  readonly journal: { readonly table: string | undefined };
  readonly backup: { readonly bucket: string | undefined; readonly prefix: string; readonly expireDays: number };
  readonly evidence: {
    readonly bucket: string | undefined;
    readonly prefix: string;
    readonly objectLock: boolean;
    readonly retention: Retention | undefined;
    readonly signingKeyArn: string | undefined;
    readonly signingKeyKeyArns: readonly string[];
  };
  readonly accessLogBucket: string | undefined;
  /** `create`, `none`, or a key's ARN. */
  readonly encryptionKey: string;
  /** Whether migrations keep what they sign in with in secrets of their own. */
  readonly runSecrets: boolean;
  readonly webhooks: {
    readonly enabled: boolean;
    readonly secretArn: string | undefined;
    readonly secretKeyArns: readonly string[];
    readonly acknowledgeUrl: boolean;
  };
  readonly writeFence: boolean;
  readonly logRetentionDays: number;
  readonly notifications: { readonly emails: readonly string[]; readonly topicArn: string | undefined };
  readonly access: {
    readonly permissionsBoundaryArn: string | undefined;
    readonly operatorPrincipalArns: readonly string[];
    readonly auditorPrincipalArns: readonly string[];
  };
  /** Variables that every function gets beside those of the description. */
  readonly environment: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
  readonly terminationProtection: boolean;
}

/** Reads a file. Throws a `ConfigError` with every problem in it. */
export function readConfig(file: string): Config {
  let text;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError(file, [
      `cannot be read (${(error as NodeJS.ErrnoException).code}): check the path after -c config=`,
    ]);
  }
  return parseConfig(text, file);
}

/** Reads a text; paths in it are from the folder of `file`. */
export function parseConfig(text: string, file: string): Config {
  const document = parseDocument(text);
  if (document.errors.length > 0) {
    throw new ConfigError(
      file,
      document.errors.map((error) => `is no YAML: ${error.message.split('\n')[0]}`),
    );
  }
  const problems: string[] = [];
  const config = read(new Reader(document.toJS(), '', problems), dirname(file));
  if (problems.length > 0) {
    throw new ConfigError(file, problems);
  }
  return config;
}

function read(top: Reader, folder: string): Config {
  const local = top.flag('local') ?? false;
  const source = side(top.requiredSection('source'));
  const target = side(top.requiredSection('target'));
  const config: Config = {
    name: top.required('name', forms.NAME),
    account: top.required('account', forms.ACCOUNT),
    region: top.required('region', forms.REGION),
    local,
    packages: packages(top.defaulted('packages'), folder),
    source,
    target,
    network: network(top.section('network')),
    journal: journal(top.defaulted('journal')),
    backup: backup(top.defaulted('backup')),
    evidence: evidence(top.defaulted('evidence')),
    accessLogBucket: top.text('access_log_bucket', forms.BUCKET),
    encryptionKey: top.text('encryption_key', forms.KEY_CHOICE) ?? 'create',
    runSecrets: top.flag('run_secrets') ?? [source, target].some((side) => !['iam', 'plaintext'].includes(side.auth)),
    webhooks: webhooks(top.defaulted('webhooks')),
    writeFence: top.flag('write_fence') ?? false,
    logRetentionDays: top.whole('log_retention_days', { least: 7, allowed: RETENTION_DAYS }) ?? 90,
    notifications: notifications(top.defaulted('notifications')),
    access: access(top.defaulted('access')),
    environment: top.map('environment', forms.VARIABLE),
    tags: top.map('tags', forms.TAG),
    terminationProtection: top.flag('termination_protection') ?? true,
  };
  top.end();
  agree(config, top);
  return config;
}

/** What no single field can tell. */
function agree(config: Config, top: Reader): void {
  if (config.local && config.network !== undefined) {
    top.refuse('network', 'does not go with local: true, which deploys no network: leave one of them out');
  }
  const { source, target } = config;
  for (const [name, side] of [
    ['source', source],
    ['target', target],
  ] as const) {
    const located = side.securityGroupIds.length + side.cidrs.length > 0;
    if (config.network !== undefined && !located) {
      const way = 'give security_group_ids (of brokers in this VPC or a peered one) or cidrs';
      top.refuse(
        `${name}.security_group_ids`,
        `is needed with network, to let functions out to nothing but the brokers: ${way}`,
      );
    }
    if (config.network === undefined && located) {
      top.refuse(
        `${name}.security_group_ids`,
        'and cidrs mean nothing without network: add that section, or leave them out',
      );
    }
  }
  if (config.writeFence && source.auth === 'iam') {
    top.refuse('write_fence', 'does not go with source.auth: iam, whose clients no ACL of Kafka holds: leave it out');
  }
  const arns = [...source.clusterArns, ...target.clusterArns].filter((arn) => arn !== '');
  const shared = arns.find((arn, index) => arns.indexOf(arn) !== index);
  if (shared !== undefined) {
    top.refuse('target.cluster_arns', `has ${shared}, which is a source too: a cluster is migrated to another one`);
  }
  const key = config.encryptionKey.split(':')[3];
  if (key !== undefined && key !== config.region) {
    top.refuse(
      'encryption_key',
      `is a key of ${key}: S3, DynamoDB and logs take keys of their own region, ${config.region}`,
    );
  }
  const topic = config.notifications.topicArn?.split(':')[3];
  if (topic !== undefined && topic !== config.region) {
    top.refuse(
      'notifications.topic_arn',
      `is a topic of ${topic}: alarms reach topics of their own region, ${config.region}`,
    );
  }
}

function side(reader: Reader): Side {
  const clusterArns = reader.texts('cluster_arns', forms.CLUSTER_ARN);
  if (clusterArns.length === 0) {
    reader.refuse('cluster_arns', 'is required and has no cluster: give at least one ARN');
  }
  const auth = reader.choice('auth', AUTH_MODES);
  if (auth === undefined && !reader.has('auth')) {
    reader.refuse('auth', `is required and missing: give one of ${AUTH_MODES.join(', ')}`);
  }
  const side: Side = {
    clusterArns,
    auth: auth ?? 'iam',
    bootstrapServersConfigured: reader.flag('bootstrap_servers_configured') ?? false,
    secretArns: reader.texts('secret_arns', forms.SECRET_ARN),
    secretKeyArns: reader.texts('secret_key_arns', forms.KEY_ARN),
    roleArn: reader.text('role_arn', forms.ROLE_ARN),
    securityGroupIds: reader.texts('security_group_ids', forms.SECURITY_GROUP),
    cidrs: reader.texts('cidrs', forms.CIDR),
    ports: reader.texts('ports', { pattern: /^\d{2,5}$/, says: 'a port, in quotes' }).map(Number),
  };
  if (side.secretKeyArns.length > 0 && side.secretArns.length === 0) {
    reader.refuse('secret_key_arns', 'are the keys of secret_arns, and there are none: add those, or leave this out');
  }
  if (auth === 'plaintext' && side.secretArns.length > 0) {
    reader.refuse('secret_arns', 'mean nothing with auth: plaintext: leave them out');
  }
  reader.end();
  return side;
}

function packages(reader: Reader, folder: string): Config['packages'] {
  const architecture = reader.choice('architecture', ARCHITECTURES) ?? 'arm64';
  const given = reader.text('directory', forms.FOLDER);
  reader.end();
  return { architecture, directory: given === undefined ? resolve(PACKAGES, architecture) : resolve(folder, given) };
}

function network(reader: Reader | undefined): Network | undefined {
  if (reader === undefined) {
    return undefined;
  }
  const network: Network = {
    vpcId: reader.required('vpc_id', forms.VPC),
    subnetIds: reader.texts('subnet_ids', forms.SUBNET),
    availabilityZones: reader.texts('availability_zones', forms.ZONE),
    routeTableIds: reader.texts('route_table_ids', forms.ROUTE_TABLE),
    endpoints: reader.choice('endpoints', ['create', 'existing', 'none']) ?? 'create',
    endpointSecurityGroupIds: reader.texts('endpoint_security_group_ids', forms.SECURITY_GROUP),
    prefixListIds: reader.texts('prefix_list_ids', forms.PREFIX_LIST),
    brokerIngress: reader.flag('broker_ingress') ?? true,
  };
  if (network.subnetIds.length < 2) {
    reader.refuse(
      'subnet_ids',
      'needs two private subnets or more, so that the loss of a zone does not stop a migration',
    );
  }
  if (network.availabilityZones.length !== network.subnetIds.length) {
    reader.refuse('availability_zones', 'needs the zone of each subnet, in the order of subnet_ids');
  }
  if (network.endpoints === 'create' && network.routeTableIds.length === 0) {
    reader.refuse(
      'route_table_ids',
      'is needed for the gateway endpoints: give those of the subnets, or endpoints: existing',
    );
  }
  if (network.endpoints !== 'existing' && network.endpointSecurityGroupIds.length > 0) {
    reader.refuse(
      'endpoint_security_group_ids',
      'are those of endpoints that are there: they need endpoints: existing',
    );
  }
  const reached = network.endpoints === 'create' || network.endpointSecurityGroupIds.length > 0;
  if (network.prefixListIds.length > 0 && !reached) {
    const way = 'say endpoints: create, or endpoints: existing and their endpoint_security_group_ids';
    reader.refuse('prefix_list_ids', `let functions out to S3 and DynamoDB alone, so the rest needs endpoints: ${way}`);
  }
  reader.end();
  return network;
}

function journal(reader: Reader): Config['journal'] {
  const journal = { table: reader.text('table', forms.TABLE) };
  reader.end();
  return journal;
}

function backup(reader: Reader): Config['backup'] {
  const bucket = reader.text('bucket', forms.BUCKET);
  const days = reader.whole('expire_days', { least: 7 });
  if (bucket !== undefined && days !== undefined) {
    reader.refuse(
      'expire_days',
      'is for a bucket that is created here: set the lifecycle of yours, or leave bucket out',
    );
  }
  const prefix = reader.text('prefix', forms.PREFIX) ?? '';
  reader.end();
  return { bucket, prefix, expireDays: days ?? 90 };
}

function evidence(reader: Reader): Config['evidence'] {
  const bucket = reader.text('bucket', forms.BUCKET);
  const objectLock = reader.flag('object_lock') ?? true;
  const retained = retention(reader.section('retention'));
  if (retained !== undefined && (bucket !== undefined || !objectLock)) {
    reader.refuse(
      'retention',
      'is for a bucket with Object Lock that is created here: leave bucket and object_lock out',
    );
  }
  const signingKeyArn = reader.text('signing_key_arn', forms.SECRET_ARN);
  const signingKeyKeyArns = reader.texts('signing_key_key_arns', forms.KEY_ARN);
  if (signingKeyKeyArns.length > 0 && signingKeyArn === undefined) {
    reader.refuse('signing_key_key_arns', 'are the keys of signing_key_arn, which is missing');
  }
  const prefix = reader.text('prefix', forms.PREFIX) ?? '';
  reader.end();
  return { bucket, prefix, objectLock, retention: retained, signingKeyArn, signingKeyKeyArns };
}

function retention(reader: Reader | undefined): Retention | undefined {
  if (reader === undefined) {
    return undefined;
  }
  const mode = reader.choice('mode', ['compliance', 'governance']);
  const days = reader.whole('days', { least: 1 });
  if (!reader.has('mode') || !reader.has('days')) {
    reader.refuse(
      'mode',
      'and days are both required: compliance (nobody can shorten it) or governance, and how many days',
    );
  }
  reader.end();
  return { mode: mode ?? 'compliance', days: days ?? 1 };
}

function webhooks(reader: Reader): Config['webhooks'] {
  const enabled = reader.flag('enabled') ?? false;
  const secretArn = reader.text('secret_arn', forms.SECRET_ARN);
  const secretKeyArns = reader.texts('secret_key_arns', forms.KEY_ARN);
  const acknowledgeUrl = reader.flag('acknowledge_url') ?? false;
  if (!enabled && (secretArn !== undefined || acknowledgeUrl)) {
    reader.refuse('enabled', 'is not true, and secret_arn and acknowledge_url mean nothing without: add enabled: true');
  }
  if (acknowledgeUrl && secretArn === undefined) {
    reader.refuse(
      'secret_arn',
      'is required with acknowledge_url: acknowledgements are accepted by their signature alone',
    );
  }
  if (secretKeyArns.length > 0 && secretArn === undefined) {
    reader.refuse('secret_key_arns', 'are the keys of secret_arn, which is missing');
  }
  reader.end();
  return { enabled, secretArn, secretKeyArns, acknowledgeUrl };
}

function notifications(reader: Reader): Config['notifications'] {
  const emails = reader.texts('emails', forms.EMAIL);
  const topicArn = reader.text('topic_arn', forms.TOPIC_ARN);
  if (topicArn !== undefined && emails.length > 0) {
    reader.refuse(
      'emails',
      'are for the topic that is created here: subscribe them to topic_arn yourself, or leave that out',
    );
  }
  reader.end();
  return { emails, topicArn };
}

function access(reader: Reader): Config['access'] {
  const access = {
    permissionsBoundaryArn: reader.text('permissions_boundary_arn', forms.POLICY_ARN),
    operatorPrincipalArns: reader.texts('operator_principal_arns', forms.PRINCIPAL_ARN),
    auditorPrincipalArns: reader.texts('auditor_principal_arns', forms.PRINCIPAL_ARN),
  };
  reader.end();
  return access;
}

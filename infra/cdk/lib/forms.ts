/** What the texts of a configuration look like. */

import type { Form } from './reader.ts';

const form = (pattern: RegExp, says: string): Form => ({ pattern, says });

export const NAME = form(
  /^[a-z][a-z0-9-]{1,22}[a-z0-9]$/,
  'a name of 3 to 24 small letters, digits and hyphens that begins with a letter, such as orders-kraft',
);
export const ACCOUNT = form(/^\d{12}$/, 'an account of twelve digits, in quotes');
export const REGION = form(/^[a-z]{2}(-[a-z]+)+-\d$/, 'a region such as eu-west-2');
export const FOLDER = form(/./, 'a path, absolute or from the folder of this file');
export const CLUSTER_ARN = form(
  /^arn:aws[a-z-]*:kafka:[a-z0-9-]+:\d{12}:cluster\/[^/*]+\/[^/*]+$/,
  'the ARN of a cluster: arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/UUID',
);
export const SECRET_ARN = form(
  /^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[^*]+-[A-Za-z0-9]{6}$/,
  'the whole ARN of a secret, with the six letters at its end: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-AbCdEf',
);
export const KEY_ARN = form(
  /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/[A-Za-z0-9-]+$/,
  'the ARN of a key, not of an alias: arn:aws:kms:REGION:ACCOUNT:key/ID',
);
export const KEY_CHOICE = form(
  new RegExp(`^(create|none)$|${KEY_ARN.pattern.source}`),
  'create, none, or the ARN of a key that is there: arn:aws:kms:REGION:ACCOUNT:key/ID',
);
export const ROLE_ARN = form(
  /^arn:aws[a-z-]*:iam::\d{12}:role\/[^*]+$/,
  'the ARN of a role: arn:aws:iam::ACCOUNT:role/NAME',
);
export const PRINCIPAL_ARN = form(
  /^arn:aws[a-z-]*:iam::\d{12}:(root|role\/[^*]+|user\/[^*]+)$/,
  'the ARN of a role, a user or an account: arn:aws:iam::ACCOUNT:role/NAME, or :root',
);
export const POLICY_ARN = form(
  /^arn:aws[a-z-]*:iam::(\d{12}|aws):policy\/[^*]+$/,
  'the ARN of a managed policy: arn:aws:iam::ACCOUNT:policy/NAME',
);
export const TOPIC_ARN = form(
  /^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+$/,
  'the ARN of a topic of SNS: arn:aws:sns:REGION:ACCOUNT:NAME',
);
export const BUCKET = form(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'the name of a bucket');
export const TABLE = form(/^[A-Za-z0-9_.-]{3,255}$/, 'the name of a table of DynamoDB');
export const PREFIX = form(
  /^[A-Za-z0-9!_.'()/-]+\/$/,
  'a prefix that ends with /, such as zk-to-kraft/ (leave it out for the whole bucket)',
);
export const EMAIL = form(/^[^@\s]+@[^@\s]+$/, 'an e-mail address');
export const VPC = form(/^vpc-[0-9a-f]{8,17}$/, 'the id of a VPC: vpc-...');
export const SUBNET = form(/^subnet-[0-9a-f]{8,17}$/, 'the id of a subnet: subnet-...');
export const ROUTE_TABLE = form(/^rtb-[0-9a-f]{8,17}$/, 'the id of a route table: rtb-...');
export const SECURITY_GROUP = form(/^sg-[0-9a-f]{8,17}$/, 'the id of a security group: sg-...');
export const PREFIX_LIST = form(/^pl-[0-9a-f]{8,17}$/, 'the id of a prefix list: pl-...');
export const ZONE = form(/^[a-z]{2}(-[a-z]+)+-\d[a-z]$/, 'an availability zone such as eu-west-2a');
export const CIDR = form(/^(\d{1,3}\.){3}\d{1,3}\/\d{1,2}$/, 'a range of addresses such as 10.20.0.0/16');
export const VARIABLE = form(/^[A-Za-z][A-Za-z0-9_]+$/, 'the name of an environment variable');
export const TAG = form(
  /^(?!aws:)[\w .:/=+@-]{1,128}$/,
  'a tag: at most 128 letters, digits and _.:/=+-@, and not aws:',
);

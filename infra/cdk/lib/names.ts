/** What is deployed is called. Names are known before anything is there, so that policies and both stacks can say them. */

import { RegionInfo } from 'aws-cdk-lib/region-info';

import type { Config } from './config.ts';

/** Names and ARNs of one deployment. */
export class Names {
  readonly table: string;
  readonly backupBucket: string;
  readonly evidenceBucket: string;
  readonly stateMachine: string;
  readonly prefix: string;
  private readonly config: Config;
  private readonly partition: string;

  constructor(config: Config) {
    const { name, account, region } = config;
    this.config = config;
    this.partition = RegionInfo.get(region).partition ?? 'aws';
    this.prefix = `${name}-`;
    this.stateMachine = name;
    this.table = config.journal.table ?? `${name}-journal`;
    this.backupBucket = config.backup.bucket ?? `${name}-backup-${account}-${region}`;
    this.evidenceBucket = config.evidence.bucket ?? `${name}-evidence-${account}-${region}`;
  }

  /** The deployed name of a function. */
  function(name: string): string {
    return `${this.prefix}${name}`;
  }

  /** The name of a role; roles of all regions of an account share one set of names. */
  role(name: string): string {
    return `${this.prefix}${this.config.region}-${name}`;
  }

  /** ARN of something of `service` in this region and account. */
  arn(service: string, resource: string): string {
    return `arn:${this.partition}:${service}:${this.config.region}:${this.config.account}:${resource}`;
  }

  /** ARN of a bucket or, with a key, of objects in it. */
  s3Arn(resource: string): string {
    return `arn:${this.partition}:s3:::${resource}`;
  }

  /** ARN of a principal or policy of this account. */
  iamArn(resource: string): string {
    return `arn:${this.partition}:iam::${this.config.account}:${resource}`;
  }

  get stateMachineArn(): string {
    return this.arn('states', `stateMachine:${this.stateMachine}`);
  }

  /** The log group of a function. */
  functionLog(name: string): string {
    return `/aws/lambda/${this.function(name)}`;
  }

  /** The log group of the state machine; below this prefix the resource policy of logs does not grow with each group. */
  get stateMachineLog(): string {
    return `/aws/vendedlogs/states/${this.stateMachine}`;
  }
}

/** A part of an ARN: 1 partition, 2 service, 3 region, 4 account, 5 resource. */
export function arnPart(arn: string, part: 1 | 3 | 4): string {
  return arn.split(':')[part] ?? '';
}

/** The name in the ARN of a cluster. */
export function clusterName(arn: string): string {
  return arn.split('/')[1] ?? '';
}

/** What the symbols of the description's statements stand for in one deployment: lists of ARNs, and IAM's conditions. */

import type { Config, Side } from './config.ts';
import type { Deployment } from './deployment.ts';
import { filled } from './description.ts';
import type { FunctionDescription, Statement } from './description.ts';
import { arnPart } from './names.ts';
import type { Names } from './names.ts';

/** A statement of IAM. */
export interface ResolvedStatement {
  readonly sid: string;
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  readonly conditions: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  /** The symbol that the resources come from. */
  readonly symbol: string;
}

type Symbols = Readonly<Record<string, readonly string[]>>;

/** Puts a deployment's ARNs in place of symbols. */
export class Resources {
  private readonly config: Config;
  private readonly names: Names;
  private readonly shared: Symbols;

  /** `keyArn` is that of the buckets, `undefined` when S3 encrypts with its own keys. */
  constructor(deployment: Deployment, keyArn: string | undefined) {
    const { config, names } = deployment;
    const source = asked(config.source);
    const target = asked(config.target);
    this.config = config;
    this.names = names;
    this.shared = {
      ...storage(config, names, keyArn),
      ...clusters(config, source, target),
      ...secrets(config, source, target, names),
      ...own(deployment),
      ...kafka('source', source),
      ...kafka('target', target),
    };
  }

  /** The statements of a function. */
  ofFunction(described: FunctionDescription): ResolvedStatement[] {
    return this.resolved(described.statements, {
      'log-streams': [this.names.arn('logs', `log-group:${this.names.functionLog(described.name)}:*`)],
      network: this.joinsNetwork(described) ? ['*'] : [],
    });
  }

  /** The statements of a role that is no function's. */
  ofRole(statements: readonly Statement[]): ResolvedStatement[] {
    return this.resolved(statements, {});
  }

  /** Whether a function is in the VPC. */
  joinsNetwork(described: FunctionDescription): boolean {
    if (this.config.network === undefined) {
      return false;
    }
    const calls = this.config.webhooks.enabled || this.config.writeFence;
    return described.network === 'brokers' || (described.network === 'webhook' && calls);
  }

  private resolved(statements: readonly Statement[], role: Symbols): ResolvedStatement[] {
    const symbols = { ...this.shared, ...role };
    return statements
      .map(({ sid, actions, resources: symbol, condition }) => {
        const conditions = condition === undefined ? {} : this.conditions(condition, symbols);
        return { sid, actions, resources: list(symbols, symbol), conditions, symbol };
      })
      .filter(({ resources }) => resources.length > 0);
  }

  private conditions(name: string, symbols: Symbols): ResolvedStatement['conditions'] {
    if (name === 'through-s3') {
      return { StringEquals: { 'kms:ViaService': [`s3.${this.config.region}.amazonaws.com`] } };
    }
    // Secrets that a migration stores itself, whose names end in a wildcard, have the key that Secrets Manager keeps.
    const given = list(symbols, name.replace(/^for-/, '')).filter((arn) => !arn.includes('*'));
    return {
      StringEquals: {
        'kms:EncryptionContext:SecretARN': given,
        'kms:ViaService': unique(given.map((arn) => `secretsmanager.${arnPart(arn, 3)}.amazonaws.com`)),
      },
    };
  }
}

function list(symbols: Symbols, symbol: string): readonly string[] {
  const arns = symbols[symbol];
  if (arns === undefined) {
    throw new Error(`infra/description.json has the resources ${symbol}, which this app does not know`);
  }
  return arns;
}

/** A side as functions ask about it themselves. What a role is assumed for is the role's to ask. */
function asked(side: Side): Side {
  return side.roleArn === undefined ? side : { ...side, clusterArns: [], secretArns: [], secretKeyArns: [] };
}

function storage({ backup, evidence }: Config, names: Names, keyArn: string | undefined): Symbols {
  const backupBucket = names.s3Arn(names.backupBucket);
  const evidenceBucket = names.s3Arn(names.evidenceBucket);
  const evidenceObjects = [`${evidenceBucket}/${evidence.prefix}*`];
  return {
    journal: [names.arn('dynamodb', `table/${names.table}`)],
    'backup-bucket': [backupBucket],
    'backup-objects': [`${backupBucket}/${backup.prefix}*`],
    manifest: [`${backupBucket}/${backup.prefix}*/manifests/batches.json`],
    'evidence-bucket': [evidenceBucket],
    'evidence-objects': evidenceObjects,
    'locked-evidence': evidence.objectLock ? evidenceObjects : [],
    'both-buckets': unique([backupBucket, evidenceBucket]),
    'backup-key': keyArn === undefined ? [] : [keyArn],
  };
}

function clusters({ webhooks, writeFence, ...config }: Config, source: Side, target: Side): Symbols {
  const asks = (side: Side): boolean => !side.bootstrapServersConfigured && side.clusterArns.length > 0;
  // The action knows no resources.
  const lookedUp = asks(source) || asks(target) ? ['*'] : [];
  const roles = unique([config.source, config.target].flatMap(({ roleArn }) => optional(roleArn)));
  const gateConnects = webhooks.enabled || writeFence;
  return {
    'cluster-roles': roles,
    'cluster-roles-for-gate': gateConnects ? roles : [],
    'source-cluster': source.clusterArns,
    clusters: [...source.clusterArns, ...target.clusterArns],
    'looked-up-clusters': lookedUp,
    'looked-up-clusters-for-gate': gateConnects ? lookedUp : [],
  };
}

function secrets(config: Config, source: Side, target: Side, names: Names): Symbols {
  const { runSecrets, webhooks, writeFence, evidence } = config;
  const stored = (path: string): string => names.arn('secretsmanager', `secret:msk-kraft/${path}`);
  const ofRuns = runSecrets ? [stored('*')] : [];
  const signIn = unique([...source.secretArns, ...target.secretArns]);
  const urls = [stored('*/webhook-??????'), stored('*/client-switch-webhook-??????')];
  return {
    'sign-in-secrets': [...ofRuns, ...signIn],
    'sign-in-keys': unique([source, target].flatMap((side) => keys(side.secretArns, side.secretKeyArns))),
    'source-sign-in-secrets': writeFence ? [...ofRuns, ...source.secretArns] : [],
    'source-sign-in-keys': writeFence ? keys(source.secretArns, source.secretKeyArns) : [],
    'webhook-urls': webhooks.enabled ? urls : [],
    'webhook-key': optional(webhooks.secretArn),
    'webhook-key-keys': keys(optional(webhooks.secretArn), webhooks.secretKeyArns),
    'run-secrets': runSecrets || webhooks.enabled ? [stored('*')] : [],
    'question-secrets': runSecrets ? [stored('question-*/*')] : [],
    'signing-key': optional(evidence.signingKeyArn),
    'signing-key-keys': keys(optional(evidence.signingKeyArn), evidence.signingKeyKeyArns),
  };
}

/** The keys of secrets: those that are named, else any of the secrets' accounts, since a secret does not tell its key. */
function keys(secretArns: readonly string[], keyArns: readonly string[]): readonly string[] {
  const any = (arn: string): string => `arn:${arnPart(arn, 1)}:kms:${arnPart(arn, 3)}:${arnPart(arn, 4)}:key/*`;
  return keyArns.length > 0 ? keyArns : unique(secretArns.map(any));
}

function own({ config: { name }, description, names }: Deployment): Symbols {
  const functions = description.functions.map((described) => names.function(described.name));
  const asked = description.asked_functions.map((asked) => names.function(asked));
  return {
    'state-machine': [names.stateMachineArn],
    executions: [names.arn('states', `execution:${names.stateMachine}:*`)],
    'map-runs': [names.arn('states', `execution:${names.stateMachine}/*`)],
    functions: functions.map((deployed) => names.arn('lambda', `function:${deployed}:*`)),
    'asked-functions': asked.map((deployed) => names.arn('lambda', `function:${deployed}:${description.qualifier}`)),
    'deployment-parameter': [names.arn('ssm', `parameter${filled(description.parameter, { name })}`)],
    'event-bus': [names.arn('events', 'event-bus/default')],
    everything: ['*'],
  };
}

/** The resources of Kafka's own actions, for a side that is signed in to with IAM. */
function kafka(side: 'source' | 'target', { auth, clusterArns }: Side): Symbols {
  const arns = auth === 'iam' ? clusterArns : [];
  const within = (kind: string): string[] => arns.map((arn) => `${arn.replace(':cluster/', `:${kind}/`)}/*`);
  return {
    [`${side}-kafka-cluster`]: arns,
    [`${side}-kafka-topics`]: within('topic'),
    [`${side}-kafka-groups`]: within('group'),
    [`${side}-kafka-transactional-ids`]: within('transactional-id'),
  };
}

function optional(arn: string | undefined): readonly string[] {
  return arn === undefined ? [] : [arn];
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}

/** The functions: each with a role and a log of its own, and numbered versions behind one alias. */

import { Duration, RemovalPolicy, Size, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';

import type { Deployment } from './deployment.ts';
import { filled } from './description.ts';
import type { FunctionDescription } from './description.ts';
import type { FunctionNetwork } from './network.ts';
import type { Packages } from './packages.ts';
import { acknowledgeWildcards, document } from './policies.ts';
import type { Resources } from './resources.ts';

/** What all functions share. */
export interface FunctionContext {
  readonly deployment: Deployment;
  readonly resources: Resources;
  readonly packages: Packages;
  readonly network: FunctionNetwork | undefined;
  readonly key: kms.IKey | undefined;
}

/** One function. */
export class MigrationFunction extends Construct {
  readonly alias: lambda.Alias;
  /** The version that is deployed now. It stays when a later one is, for the executions that began with it. */
  readonly version: lambda.Version;

  constructor(scope: Construct, described: FunctionDescription, context: FunctionContext) {
    super(scope, described.name);
    const { config, description, names } = context.deployment;
    const role = this.role(described, context);
    const deployed = new lambda.Function(this, 'Function', {
      functionName: names.function(described.name),
      description: described.description,
      runtime: lambda.Runtime.PROVIDED_AL2023,
      architecture: config.packages.architecture === 'arm64' ? lambda.Architecture.ARM_64 : lambda.Architecture.X86_64,
      handler: 'bootstrap',
      code: lambda.Code.fromAsset(context.packages.zip(described.name)),
      memorySize: described.memory_mb,
      timeout: Duration.seconds(described.timeout_s),
      ephemeralStorageSize: Size.mebibytes(described.ephemeral_mb),
      environment: variables(described, context),
      logGroup: functionLog(this, described.name, context),
      currentVersionOptions: { removalPolicy: RemovalPolicy.RETAIN },
      // Exactly the statements of the description: CDK adds none.
      role: role.withoutPolicyUpdates(),
      ...this.network(described, context),
    });
    deployed.node.addDependency(role);
    this.version = deployed.currentVersion;
    this.alias = new lambda.Alias(this, 'Alias', { aliasName: description.qualifier, version: this.version });
    acknowledge(deployed);
  }

  private role(
    described: FunctionDescription,
    { deployment: { config, names }, resources }: FunctionContext,
  ): iam.Role {
    const statements = resources.ofFunction(described);
    const role = new iam.Role(this, 'Role', {
      roleName: names.role(described.name),
      description: `${described.name} of ${config.name}`,
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
      inlinePolicies: { [described.name]: document(statements) },
    });
    acknowledgeWildcards(role, statements);
    if (statements.some(({ symbol }) => symbol === 'network')) {
      const reason = 'The actions of network interfaces that Lambda needs know no resources.';
      Validations.of(role).acknowledge({ id: 'Serverless-LambdaStarPermissions', reason });
    }
    return role;
  }

  private network(
    described: FunctionDescription,
    { network, resources }: FunctionContext,
  ): Partial<lambda.FunctionProps> {
    if (network === undefined || !resources.joinsNetwork(described)) {
      return {};
    }
    return { vpc: network.vpc, vpcSubnets: network.subnets, securityGroups: [network.securityGroup] };
  }
}

function variables(
  { environment }: FunctionDescription,
  { deployment, packages }: FunctionContext,
): Record<string, string> {
  const { config, names } = deployment;
  const values = { name: config.name, table: names.table, package: packages.summary };
  const described = Object.entries(environment).map(([key, value]) => [key, filled(value, values)]);
  return { ...Object.fromEntries(described), ...config.environment };
}

function functionLog(
  scope: Construct,
  name: string,
  { deployment: { config, names }, key }: FunctionContext,
): logs.LogGroup {
  return new logs.LogGroup(scope, 'Log', {
    logGroupName: names.functionLog(name),
    retention: config.logRetentionDays,
    removalPolicy: RemovalPolicy.DESTROY,
    encryptionKey: key,
  });
}

function acknowledge(deployed: lambda.Function): void {
  const synchronous = 'Step Functions and the CLI wait for every answer; what a pulse misses the next one finds.';
  Validations.of(deployed).acknowledge(
    { id: 'Serverless-LambdaDLQ', reason: synchronous },
    { id: 'Serverless-LambdaEventInvokeConfig', reason: synchronous },
    {
      id: 'Serverless-LambdaTracing',
      reason: 'Functions trace with OpenTelemetry when it is switched on, not with X-Ray.',
    },
  );
}

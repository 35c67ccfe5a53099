/** What runs: functions, state machine, what watches them, and what the CLI finds them by. */

import { CfnOutput, Stack } from 'aws-cdk-lib';
import type { StackProps } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import type { Construct } from 'constructs';

import { Access } from './access.ts';
import { addAlarms } from './alarms.ts';
import { addDashboard, addQueries } from './dashboard.ts';
import type { Deployment } from './deployment.ts';
import { filled } from './description.ts';
import { MigrationFunction } from './functions.ts';
import { existingKey } from './key.ts';
import { hasSavedQueries } from './local.ts';
import { FunctionNetwork } from './network.ts';
import { Notices } from './notices.ts';
import { Packages } from './packages.ts';
import { addPulse } from './pulse.ts';
import { Resources } from './resources.ts';
import { MigrationStateMachine } from './state-machine.ts';

/** Version of the value of the parameter by which the CLI finds the deployment. */
const PARAMETER_SCHEMA = 1;
/** The function that takes acknowledgements of webhooks. */
const ACKNOWLEDGED = 'gate';

/** The stateless resources. */
export class MigrationStack extends Stack {
  /** `createdKey` is that of the data stack, when it made one. */
  constructor(
    scope: Construct,
    id: string,
    deployment: Deployment,
    createdKey: kms.IKey | undefined,
    props: StackProps,
  ) {
    super(scope, id, props);
    const { config, description } = deployment;
    if (config.access.permissionsBoundaryArn !== undefined) {
      const boundary = iam.ManagedPolicy.fromManagedPolicyArn(this, 'Boundary', config.access.permissionsBoundaryArn);
      iam.PermissionsBoundary.of(this).apply(boundary);
    }
    const key = createdKey ?? existingKey(this, config);
    const resources = new Resources(deployment, key?.keyArn);
    const packages = new Packages(
      config.packages,
      description.functions.map(({ name }) => name),
    );
    const network = config.network && new FunctionNetwork(this, config.network, deployment, resources);
    const context = { deployment, resources, packages, network, key };
    const functions = new Map(
      description.functions.map((described) => [described.name, new MigrationFunction(this, described, context)]),
    );
    const versions = new Map([...functions].map(([name, { version }]) => [name, version]));
    addPulse(this, deployment, described(functions, description.pulse.function).alias);
    new MigrationStateMachine(this, { deployment, resources, key, versions });
    this.admit('operator', config.access.operatorPrincipalArns, deployment, resources);
    this.admit('auditor', config.access.auditorPrincipalArns, deployment, resources);
    const { topic } = new Notices(this, deployment, key);
    addAlarms(this, deployment, topic.topicArn);
    addDashboard(this, deployment);
    if (hasSavedQueries(config)) {
      addQueries(this, deployment);
    }
    this.output('TopicArn', topic.topicArn);
    const url = config.webhooks.acknowledgeUrl ? acknowledgeUrl(functions) : undefined;
    this.announce(deployment, packages.version, url);
  }

  private admit(
    kind: 'operator' | 'auditor',
    principals: readonly string[],
    deployment: Deployment,
    resources: Resources,
  ): void {
    const statements = resources.ofRole(deployment.description.roles[kind].statements);
    const { policy } = new Access(this, kind, statements, principals, deployment);
    this.output(kind === 'operator' ? 'OperatorPolicyArn' : 'AuditorPolicyArn', policy.managedPolicyArn);
  }

  /** Writes down where everything is. */
  private announce({ config, description, names }: Deployment, version: string, url: string | undefined): void {
    const { name, region, account } = config;
    const parameterName = filled(description.parameter, { name });
    new ssm.StringParameter(this, 'Parameter', {
      parameterName,
      description: `Where msk-kraft ${name} is, for msk-kraft --deployment ${name}`,
      stringValue: this.toJsonString({
        schema: PARAMETER_SCHEMA,
        name,
        version,
        region,
        account,
        state_machine_arn: names.stateMachineArn,
        table: names.table,
        function_prefix: names.prefix,
        qualifier: description.qualifier,
        backup_bucket: names.backupBucket,
        evidence_bucket: names.evidenceBucket,
        acknowledge_url: url ?? null,
      }),
    });
    this.output('ParameterName', parameterName);
    this.output('StateMachineArn', names.stateMachineArn);
    this.output('JournalTable', names.table);
    this.output('BackupBucket', names.backupBucket);
    this.output('EvidenceBucket', names.evidenceBucket);
    if (url !== undefined) {
      this.output('AcknowledgeUrl', url);
    }
  }

  private output(id: string, value: string): void {
    new CfnOutput(this, id, { value });
  }
}

/** Anybody may call it: the function takes nothing that is not signed with the key of the webhooks. */
function acknowledgeUrl(functions: ReadonlyMap<string, MigrationFunction>): string {
  return described(functions, ACKNOWLEDGED).alias.addFunctionUrl({ authType: lambda.FunctionUrlAuthType.NONE }).url;
}

/** A function that the description speaks of. */
function described(functions: ReadonlyMap<string, MigrationFunction>, name: string): MigrationFunction {
  const found = functions.get(name);
  if (found === undefined) {
    throw new Error(`infra/description.json has no function ${name}, which is needed`);
  }
  return found;
}

/** The state machine, from the one ASL file. */

import { fileURLToPath } from 'node:url';

import { RemovalPolicy } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as sfn from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';

import type { Deployment } from './deployment.ts';
import type { Description } from './description.ts';
import { acknowledgeWildcards, document } from './policies.ts';
import type { Resources } from './resources.ts';

/** The definition, which has `${...}` where ARNs of functions belong. */
export const DEFINITION = fileURLToPath(new URL('../../../statemachine/migration.asl.json', import.meta.url));

/** What the state machine is made from. */
export interface StateMachineProps {
  readonly deployment: Deployment;
  readonly resources: Resources;
  readonly key: kms.IKey | undefined;
  /** The version of each function that new executions call. */
  readonly versions: ReadonlyMap<string, lambda.IVersion>;
}

/** The state machine with its role and its log. */
export class MigrationStateMachine extends Construct {
  readonly stateMachine: sfn.StateMachine;

  constructor(scope: Construct, props: StateMachineProps) {
    super(scope, 'StateMachine');
    const {
      deployment: { config, description, names },
      resources,
      key,
      versions,
    } = props;
    const statements = resources.ofRole(description.state_machine.statements);
    const role = new iam.Role(this, 'Role', {
      roleName: names.role('state-machine'),
      description: `State machine of ${config.name}`,
      assumedBy: new iam.ServicePrincipal('states.amazonaws.com', {
        conditions: { StringEquals: { 'aws:SourceAccount': config.account } },
      }),
      inlinePolicies: { 'state-machine': document(statements) },
    });
    acknowledgeWildcards(role, statements);
    this.stateMachine = new sfn.StateMachine(this, 'Resource', {
      stateMachineName: names.stateMachine,
      definitionBody: sfn.DefinitionBody.fromFile(DEFINITION),
      definitionSubstitutions: substitutions(description, versions),
      role: role.withoutPolicyUpdates(),
      tracingEnabled: true,
      logs: {
        level: sfn.LogLevel.ALL,
        // The parameters of tasks hold task tokens.
        includeExecutionData: false,
        destination: new logs.LogGroup(this, 'Log', {
          logGroupName: names.stateMachineLog,
          retention: config.logRetentionDays,
          removalPolicy: RemovalPolicy.DESTROY,
          encryptionKey: key,
        }),
      },
    });
    this.stateMachine.node.addDependency(role);
  }
}

function substitutions(description: Description, versions: StateMachineProps['versions']): Record<string, string> {
  const called = Object.entries(description.state_machine.substitutions).map(
    ([placeholder, name]): [string, string] => {
      const version = versions.get(name);
      if (version === undefined) {
        throw new Error(`infra/description.json has the state machine call ${name}, which is no function of it`);
      }
      return [placeholder, version.functionArn];
    },
  );
  return Object.fromEntries(called);
}

/** Roles with exactly the statements that they are given. */

import { Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';

import type { ResolvedStatement } from './resources.ts';

/** Why statements on these sets of resources have wildcards: what stands in their place does not exist yet at deployment. */
const WILDCARDS: Readonly<Record<string, string>> = {
  'log-streams': "Lambda names the streams of the log group; the group is the function's own.",
  network: 'The actions of network interfaces that Lambda needs know no resources.',
  'backup-objects': 'The objects of migrations, whose ids are given later, below the one prefix.',
  manifest: 'The manifest of each migration, whose id is given later.',
  'evidence-objects': 'The objects of migrations, whose ids are given later, below the one prefix.',
  'locked-evidence': 'The objects of migrations, whose ids are given later, below the one prefix.',
  'sign-in-secrets': 'The secrets of migrations, whose ids are given later, below msk-kraft/.',
  'source-sign-in-secrets': 'The secrets of migrations, whose ids are given later, below msk-kraft/.',
  'sign-in-keys': 'A secret does not tell its key; the condition lets the key be used for these secrets alone.',
  'source-sign-in-keys': 'A secret does not tell its key; the condition lets the key be used for these secrets alone.',
  'webhook-urls': 'The secrets of migrations, whose ids are given later, with the random end of their ARNs.',
  'webhook-key-keys': 'A secret does not tell its key; the condition lets the key be used for this secret alone.',
  'signing-key-keys': 'A secret does not tell its key; the condition lets the key be used for this secret alone.',
  'run-secrets': 'The secrets of migrations, whose ids are given later, below msk-kraft/.',
  'question-secrets': 'The secrets of questions, which last as long as their answer, below msk-kraft/question-.',
  executions: 'The executions of the one state machine; each gets its name when it starts.',
  'map-runs': "The child executions of the one state machine's maps, which Step Functions names.",
  functions: 'The numbered versions of the one function: executions in flight finish on those that they began with.',
  'source-kafka-topics':
    'The topics of the one cluster: which ones a migration takes is told in its own configuration.',
  'source-kafka-groups':
    'The groups of the one cluster: which ones a migration takes is told in its own configuration.',
  'source-kafka-transactional-ids': 'The transactional ids of the one cluster, which the producers choose.',
  'target-kafka-topics':
    'The topics of the one cluster: which ones a migration takes is told in its own configuration.',
  'target-kafka-groups':
    'The groups of the one cluster: which ones a migration takes is told in its own configuration.',
  'target-kafka-transactional-ids': 'The transactional ids of the one cluster, which the producers choose.',
  everything: 'These actions know no resources.',
  'looked-up-clusters': 'kafka:GetBootstrapBrokers knows no resources.',
  'looked-up-clusters-for-gate': 'kafka:GetBootstrapBrokers knows no resources.',
};

/** The statements as a document. */
export function document(statements: readonly ResolvedStatement[]): iam.PolicyDocument {
  return new iam.PolicyDocument({
    statements: statements.map(
      ({ sid, actions, resources, conditions }) =>
        new iam.PolicyStatement({
          sid,
          actions: [...actions],
          resources: [...resources],
          conditions: { ...conditions },
        }),
    ),
  });
}

/** Acknowledges the wildcards in the resources of `statements`, each with its reason, and no others. */
export function acknowledgeWildcards(scope: Construct, statements: readonly ResolvedStatement[]): void {
  for (const { symbol, resources } of statements) {
    const reason = WILDCARDS[symbol];
    for (const arn of resources.filter((arn) => arn.includes('*') && reason !== undefined)) {
      Validations.of(scope).acknowledge({ id: `AwsSolutions-IAM5[Resource::${arn}]`, reason: reason ?? '' });
    }
  }
}

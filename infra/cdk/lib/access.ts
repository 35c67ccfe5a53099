/** What people may do: managed policies for operator and auditor, and roles for those who are named. */

import * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';

import type { Deployment } from './deployment.ts';
import { acknowledgeWildcards, document } from './policies.ts';
import type { ResolvedStatement } from './resources.ts';

/** The access of one kind of person. */
export class Access extends Construct {
  readonly policy: iam.ManagedPolicy;

  constructor(
    scope: Construct,
    kind: 'operator' | 'auditor',
    statements: readonly ResolvedStatement[],
    principalArns: readonly string[],
    { config, names }: Deployment,
  ) {
    super(scope, kind);
    this.policy = new iam.ManagedPolicy(this, 'Policy', {
      managedPolicyName: names.role(kind),
      description: `What an ${kind} of ${config.name} may do`,
      document: document(statements),
    });
    acknowledgeWildcards(this.policy, statements);
    if (principalArns.length > 0) {
      new iam.Role(this, 'Role', {
        roleName: names.role(kind),
        description: `An ${kind} of ${config.name}`,
        assumedBy: new iam.CompositePrincipal(...principalArns.map((arn) => new iam.ArnPrincipal(arn))),
        managedPolicies: [this.policy],
      });
    }
  }
}

/** The stacks of a deployment. */

import type { App } from 'aws-cdk-lib';

import { DataStack } from './data-stack.ts';
import type { Deployment } from './deployment.ts';
import { MigrationStack } from './migration-stack.ts';

/** Adds the stacks of `deployment` to `app`. */
export function addStacks(app: App, deployment: Deployment): { data: DataStack | undefined; main: MigrationStack } {
  const { name, account, region, terminationProtection, tags } = deployment.config;
  const common = { env: { account, region }, terminationProtection, tags: { ...tags } };
  const data = DataStack.isNeeded(deployment.config)
    ? new DataStack(app, `${name}-data`, deployment, {
        ...common,
        description: `msk-kraft ${name}: what outlives a deployment`,
      })
    : undefined;
  const main = new MigrationStack(app, name, deployment, data?.key, { ...common, description: `msk-kraft ${name}` });
  if (data !== undefined) {
    main.addStackDependency(data);
  }
  return { data, main };
}

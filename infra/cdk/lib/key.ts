/** The key of a deployment that is there already. */

import * as kms from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';

import type { Config } from './config.ts';

/** The configured key; none when there is none, or when the data stack creates it. */
export function existingKey(scope: Construct, { encryptionKey }: Config): kms.IKey | undefined {
  return ['create', 'none'].includes(encryptionKey) ? undefined : kms.Key.fromKeyArn(scope, 'Key', encryptionKey);
}

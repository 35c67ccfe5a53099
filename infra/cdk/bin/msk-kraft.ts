/** Synthesizes a deployment: `cdk synth -c config=FILE`, with `-c packages=FOLDER` in place of the file's packages.directory. */

import { resolve } from 'node:path';

import { App } from 'aws-cdk-lib';

import { addStacks } from '../lib/app.ts';
import { readConfig } from '../lib/config.ts';
import { Deployment } from '../lib/deployment.ts';
import { readDescription } from '../lib/description.ts';
import { ConfigError } from '../lib/reader.ts';

const app = new App();
const file: unknown = app.node.tryGetContext('config');
try {
  if (typeof file !== 'string') {
    throw new ConfigError('The configuration', [
      'is missing: say -c config=FILE; examples/minimal.yaml is one to begin with',
    ]);
  }
  const config = readConfig(file);
  const folder: unknown = app.node.tryGetContext('packages');
  const directory = typeof folder === 'string' ? resolve(folder) : config.packages.directory;
  addStacks(app, new Deployment({ ...config, packages: { ...config.packages, directory } }, readDescription()));
} catch (error) {
  if (!(error instanceof ConfigError)) {
    throw error;
  }
  // Where in this program a file was found to be wrong is nobody's concern.
  console.error(error.message);
  process.exit(1);
}

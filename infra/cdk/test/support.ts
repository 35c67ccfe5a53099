/** What tests share: packages that stand for the real ones, and synthesized templates. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';

import { addStacks } from '../lib/app.ts';
import { parseConfig } from '../lib/config.ts';
import type { Config } from '../lib/config.ts';
import { Deployment } from '../lib/deployment.ts';
import { readDescription } from '../lib/description.ts';

// CDK's own rules for templates take seconds for each; checks.test.ts asks for them, once for each example.
process.env['CDK_VALIDATION'] = 'false';

const CONTEXT = JSON.parse(readFileSync(new URL('../cdk.json', import.meta.url), 'utf8')).context as Record<
  string,
  unknown
>;

const TEMPORARY = mkdtempSync(join(tmpdir(), 'msk-kraft-cdk-'));
process.on('exit', () => rmSync(TEMPORARY, { recursive: true, force: true }));

/** A folder that is gone when the process ends. */
function temporary(): string {
  return mkdtempSync(join(TEMPORARY, 'folder-'));
}

/** A folder with an empty zip for each function, and their manifest. */
function packages(architecture: string): string {
  const folder = join(temporary(), 'packages');
  mkdirSync(folder);
  const endOfAnEmptyZip = Buffer.concat([Buffer.from('PK\x05\x06', 'latin1'), Buffer.alloc(18)]);
  const names = readDescription().functions.map(({ name }) => name);
  for (const name of names) {
    writeFileSync(join(folder, `${name}.zip`), endOfAnEmptyZip);
  }
  const functions = Object.fromEntries(names.map((name) => [name, { file: `${name}.zip`, sha256: `hash of ${name}` }]));
  writeFileSync(
    join(folder, 'manifest.json'),
    JSON.stringify({ version: '1.2.3', commit: 'abc', architecture, functions }),
  );
  return folder;
}

/** The text of an example. */
export function example(name: 'minimal' | 'complete' | 'local'): string {
  return readFileSync(exampleFile(name), 'utf8');
}

function exampleFile(name: string): string {
  return fileURLToPath(new URL(`../examples/${name}.yaml`, import.meta.url));
}

/** A configuration from an example, with other packages and whatever `change` makes of it. */
export function configured(name: 'minimal' | 'complete' | 'local', change: Partial<Config> = {}): Config {
  const config = parseConfig(example(name), exampleFile(name));
  return { ...config, packages: { ...config.packages, directory: packages(config.packages.architecture) }, ...change };
}

/** The app of a configuration, with its templates to come. */
export function deployed(config: Config) {
  const outdir = temporary();
  const app = new App({ outdir, context: CONTEXT });
  const deployment = new Deployment(config, readDescription());
  return { app, outdir, deployment, ...addStacks(app, deployment) };
}

/** A resource of a template. */
export interface Resource {
  readonly Type: string;
  readonly Properties: Record<string, any>;
  readonly DeletionPolicy?: string;
  readonly DependsOn?: readonly string[];
}

/** What was made of a configuration. */
export interface Templates {
  readonly main: Template;
  readonly data: Template | undefined;
  readonly deployment: Deployment;
}

/** Both templates of a configuration. */
export function templates(config: Config): Templates {
  const { main, data, deployment } = deployed(config);
  return { main: Template.fromStack(main), data: data && Template.fromStack(data), deployment };
}

/** The resources of a type, by their logical ids. */
export function resources(template: Template | undefined, type: string): [id: string, resource: Resource][] {
  return Object.entries((template?.findResources(type) ?? {}) as Record<string, Resource>);
}

/** The resource of a type for which a property has a value. */
export function named(template: Template | undefined, type: string, property: string, value: string): Resource {
  const found = resources(template, type).find(([, resource]) => resource.Properties[property] === value);
  if (found === undefined) {
    throw new Error(`no ${type} has the ${property} ${value}`);
  }
  return found[1];
}

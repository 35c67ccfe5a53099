/**
 * `infra/description.json`: what is deployed, generated from the crate `shared/deployment`. Functions, statements, alarms,
 * graphs and queries come from there and nowhere else.
 */

import { readFileSync } from 'node:fs';

import type { AuthMode } from './config.ts';

/** The version of the file's shape that this app reads. */
const SCHEMA = 1;

/** Actions on a set of resources, by its symbol. */
export interface Statement {
  readonly sid: string;
  readonly actions: readonly string[];
  readonly resources: string;
  readonly condition?: string;
}

/** A Lambda function. */
export interface FunctionDescription {
  readonly name: string;
  readonly description: string;
  readonly memory_mb: number;
  readonly timeout_s: number;
  readonly ephemeral_mb: number;
  readonly network: 'brokers' | 'webhook' | 'none';
  readonly environment: Readonly<Record<string, string>>;
  readonly statements: readonly Statement[];
}

/** A metric of CloudWatch, with placeholders in its dimensions. */
export interface Reading {
  readonly id: string;
  readonly namespace: string;
  readonly metric: string;
  readonly dimensions: Readonly<Record<string, string>>;
  readonly statistic: string;
}

/** An alarm, for the deployment, for each function or for each cluster. */
export interface AlarmDescription {
  readonly name: string;
  readonly description: string;
  readonly runbook: string;
  readonly scope: 'deployment' | 'function' | 'cluster';
  readonly metrics: readonly Reading[];
  readonly expression: string | null;
  readonly period_s: number;
  readonly evaluation_periods: number;
  readonly datapoints: number;
  readonly comparison: string;
  readonly threshold: number;
  readonly treat_missing_data: string;
}

/** A graph of the dashboard: names and statistics of metrics. */
export interface Graph {
  readonly title: string;
  readonly namespace: string;
  readonly metrics: ReadonlyArray<readonly [metric: string, statistic: string]>;
  readonly of: 'deployment' | 'state-machine' | 'functions' | 'clusters';
}

/** What is invoked again and again, with what and how many minutes apart, and the events that it puts on the bus. */
export interface Pulse {
  readonly function: string;
  readonly input: unknown;
  readonly minutes: number;
  readonly event_source: string;
  readonly phase_changed: string;
  readonly waits: string;
}

/** The file. */
export interface Description {
  readonly schema: number;
  readonly qualifier: string;
  readonly parameter: string;
  readonly functions: readonly FunctionDescription[];
  readonly asked_functions: readonly string[];
  readonly state_machine: {
    readonly substitutions: Readonly<Record<string, string>>;
    readonly statements: readonly Statement[];
  };
  readonly roles: Readonly<Record<'operator' | 'auditor', { readonly statements: readonly Statement[] }>>;
  readonly resources: Readonly<Record<string, string>>;
  readonly broker_ports: Readonly<Record<AuthMode, readonly number[]>>;
  readonly alarms: readonly AlarmDescription[];
  readonly dashboard: readonly Graph[];
  readonly pulse: Pulse;
  readonly queries: ReadonlyArray<{ readonly name: string; readonly query: string }>;
}

/** The description in the repository. */
export function readDescription(): Description {
  const file = new URL('../../description.json', import.meta.url);
  const description = JSON.parse(readFileSync(file, 'utf8')) as Description;
  if (description.schema !== SCHEMA) {
    throw new Error(`infra/description.json has schema ${description.schema}, and this app reads ${SCHEMA}`);
  }
  return description;
}

/** Puts `values` in place of `{placeholders}`; one that is not among them is an error. */
export function filled(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\{([a-z_]+)\}/g, (placeholder, name: string) => {
    const value = values[name];
    if (value === undefined) {
      throw new Error(`infra/description.json has the placeholder ${placeholder}, which this app does not know`);
    }
    return value;
  });
}

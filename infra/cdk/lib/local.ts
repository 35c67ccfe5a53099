/**
 * What `local: true` changes, all of it: the concessions to a stand-in of AWS on one machine. Nothing here is for an account.
 * A network is refused by `config.ts` with it, since stand-ins know no rules of security groups. Roles are those of an account.
 */

import type { Config } from './config.ts';
import type { AlarmDescription } from './description.ts';

/** Stand-ins know no saved queries. */
export function hasSavedQueries(config: Config): boolean {
  return !config.local;
}

/** Stand-ins know alarms on one plain metric only. */
export function hasAlarm(config: Config, alarm: AlarmDescription): boolean {
  return !config.local || alarm.expression === null;
}

/** One deployment: what a person configured, what is deployed in general, and the names of both together. */

import type { Config } from './config.ts';
import type { Description } from './description.ts';
import { Names } from './names.ts';

/** What every part of the stacks is made from. */
export class Deployment {
  readonly config: Config;
  readonly description: Description;
  readonly names: Names;

  constructor(config: Config, description: Description) {
    this.config = config;
    this.description = description;
    this.names = new Names(config);
  }
}

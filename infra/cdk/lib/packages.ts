/** The functions' packages, as `make package` leaves them: one zip each, and a manifest. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Config } from './config.ts';
import { ConfigError } from './reader.ts';

/** `manifest.json`, as far as it is read here. */
interface Manifest {
  readonly version: string;
  readonly commit: string;
  readonly architecture: string;
  readonly functions: Readonly<Record<string, { readonly sha256: string }>>;
}

/** A folder of packages. */
export class Packages {
  private readonly folder: string;
  /** Packages that were put together by hand have none. */
  private readonly manifest: Manifest | undefined;

  constructor({ directory, architecture }: Config['packages'], functions: readonly string[]) {
    this.folder = directory;
    const missing = functions.filter((name) => !existsSync(this.zip(name)));
    if (missing.length > 0) {
      const way = 'build them with make package, or name another folder in packages.directory';
      throw new ConfigError(directory, [`has no ${missing.map((name) => `${name}.zip`).join(', ')}: ${way}`]);
    }
    const file = join(directory, 'manifest.json');
    this.manifest = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Manifest) : undefined;
    if (this.manifest !== undefined && this.manifest.architecture !== architecture) {
      const way = `say packages.architecture: ${this.manifest.architecture}, or build them for ${architecture}`;
      throw new ConfigError(directory, [`has packages for ${this.manifest.architecture}: ${way}`]);
    }
  }

  /** The package of a function. */
  zip(name: string): string {
    return join(this.folder, `${name}.zip`);
  }

  /** The version that all of them were built as. */
  get version(): string {
    return this.manifest?.version ?? 'unknown';
  }

  /** What the evidence says of them: version, commit and hashes, as JSON with its fields in order. */
  get summary(): string {
    const { commit, functions = {}, version } = this.manifest ?? { version: this.version };
    const hashes = Object.entries(functions).map(([name, { sha256 }]): [string, string] => [name, sha256]);
    return JSON.stringify({ commit, functions: Object.fromEntries(hashes.sort()), version });
  }
}

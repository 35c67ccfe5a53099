/**
 * Reads parsed YAML field by field and keeps every problem with its path, so that a file is refused once, with all that is
 * wrong in it.
 */

/** A configuration that cannot be used, with one line for each problem. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(file: string, problems: readonly string[]) {
    super(`${file} cannot be used:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/** What a text has to look like, and how that is said to a person. */
export interface Form {
  readonly pattern: RegExp;
  readonly says: string;
}

type Fields = Record<string, unknown>;

/** One section of the file. */
export class Reader {
  private readonly fields: Fields;
  private readonly path: string;
  private readonly problems: string[];
  private readonly known = new Set<string>();

  constructor(value: unknown, path: string, problems: string[]) {
    this.path = path;
    this.problems = problems;
    this.fields = isSection(value) ? value : {};
    if (!isSection(value)) {
      this.problems.push(`${path || 'the file'}: has to be a section of fields, and is ${kind(value)}`);
    }
  }

  /** Says that `field` is wrong. */
  refuse(field: string, why: string): void {
    this.problems.push(`${this.at(field)}: ${why}`);
  }

  /** Whether the file has `field`. */
  has(field: string): boolean {
    return this.fields[field] !== undefined && this.fields[field] !== null;
  }

  /** A text that may be missing. */
  text(field: string, form: Form): string | undefined {
    const value = this.take(field);
    return value === undefined ? undefined : this.checked(field, value, form);
  }

  /** A text that has to be there. An empty one stands for it when it is not, which has been said. */
  required(field: string, form: Form): string {
    if (!this.has(field)) {
      this.refuse(field, `is required and missing: give ${form.says}`);
    }
    return this.text(field, form) ?? '';
  }

  /** One of `choices`. */
  choice<const T extends string>(field: string, choices: readonly T[]): T | undefined {
    const value = this.take(field);
    if (value === undefined) {
      return undefined;
    }
    const found = choices.find((choice) => choice === value);
    if (found === undefined) {
      this.refuse(field, `is ${shown(value)}, and has to be one of ${choices.join(', ')}`);
    }
    return found;
  }

  /** `true` or `false`. */
  flag(field: string): boolean | undefined {
    const value = this.take(field);
    if (value !== undefined && typeof value !== 'boolean') {
      this.refuse(field, `is ${shown(value)}, and has to be true or false, without quotes`);
      return undefined;
    }
    return value;
  }

  /** A whole number from `least` on, or one of `allowed` where AWS takes only some. */
  whole(field: string, limits: { readonly least: number; readonly allowed?: readonly number[] }): number | undefined {
    const value = this.take(field);
    if (value === undefined) {
      return undefined;
    }
    if (typeof value !== 'number' || !Number.isInteger(value) || value < limits.least) {
      this.refuse(field, `is ${shown(value)}, and has to be a whole number from ${limits.least} on`);
      return undefined;
    }
    if (limits.allowed !== undefined && !limits.allowed.includes(value)) {
      this.refuse(field, `is ${value}, and has to be one of ${limits.allowed.join(', ')}`);
      return undefined;
    }
    return value;
  }

  /** A list of texts; an empty one when it is missing. */
  texts(field: string, form: Form): string[] {
    const value = this.take(field);
    if (value === undefined) {
      return [];
    }
    if (!Array.isArray(value)) {
      this.refuse(field, `is ${kind(value)}, and has to be a list: write each as "- value"`);
      return [];
    }
    const texts = value.map((item, index) => this.checked(`${field}[${index}]`, item, form) ?? '');
    texts.forEach((text, index) => {
      if (text !== '' && texts.indexOf(text) !== index) {
        this.refuse(`${field}[${index}]`, `says ${shown(text)} a second time: leave one out`);
      }
    });
    return texts;
  }

  /** Names with texts, such as tags. */
  map(field: string, name: Form): Record<string, string> {
    const value = this.take(field);
    if (value === undefined) {
      return {};
    }
    if (!isSection(value)) {
      this.refuse(field, `is ${kind(value)}, and has to be a section: write each as "name: value"`);
      return {};
    }
    const entries = Object.entries(value).map(([key, text]): [string, string] => {
      if (!name.pattern.test(key)) {
        this.refuse(`${field}.${key}`, `is not ${name.says}`);
      }
      return [key, this.checked(`${field}.${key}`, text, { pattern: /^/, says: 'a text, in quotes' }) ?? ''];
    });
    return Object.fromEntries(entries);
  }

  /** A section that may be missing; `undefined` then. */
  section(field: string): Reader | undefined {
    const value = this.take(field);
    return value === undefined ? undefined : new Reader(value, this.at(field), this.problems);
  }

  /** A section whose fields all have defaults: the same as an empty one when it is missing. */
  defaulted(field: string): Reader {
    return this.section(field) ?? new Reader({}, this.at(field), this.problems);
  }

  /** A section that has to be there. */
  requiredSection(field: string): Reader {
    const section = this.section(field);
    if (section === undefined) {
      this.refuse(field, 'is required and missing: add this section (see examples/)');
    }
    return section ?? new Reader({}, this.at(field), []);
  }

  /** Refuses the fields that nobody asked for. To be called when the section has been read. */
  end(): void {
    for (const field of Object.keys(this.fields).filter((field) => !this.known.has(field))) {
      const near = [...this.known].filter((known) => distance(known, field) <= Math.max(2, field.length / 4));
      near.sort((a, b) => distance(a, field) - distance(b, field));
      const way = near[0] === undefined ? `known here: ${[...this.known].join(', ')}` : `did you mean ${near[0]}?`;
      this.refuse(field, `is not a known field; ${way}`);
    }
  }

  private at(field: string): string {
    return this.path === '' ? field : `${this.path}.${field}`;
  }

  private take(field: string): unknown {
    this.known.add(field);
    return this.fields[field] ?? undefined;
  }

  private checked(field: string, value: unknown, form: Form): string | undefined {
    if (typeof value !== 'string') {
      const quote = typeof value === 'number' || typeof value === 'boolean' ? ': put it in quotes' : '';
      this.refuse(field, `is ${kind(value)}, and has to be ${form.says}${quote}`);
      return undefined;
    }
    if (!form.pattern.test(value)) {
      this.refuse(field, `is ${shown(value)}, and has to be ${form.says}`);
    }
    return value;
  }
}

function isSection(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kind(value: unknown): string {
  if (value === null || value === undefined) {
    return 'empty';
  }
  return Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'a section' : `a ${typeof value}`;
}

function shown(value: unknown): string {
  return JSON.stringify(value);
}

/** The number of letters to change, add or leave out to come from one text to the other. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...to].entries()) {
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

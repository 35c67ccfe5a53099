import assert from 'node:assert/strict';
import { test } from 'node:test';

import { configured, templates } from './support.ts';
import type { Resource } from './support.ts';

const local = templates(configured('local'));
const remote = templates(configured('local', { local: false }));

const all = (template: typeof local.main | undefined): Record<string, Resource> => template?.toJSON()['Resources'];

test('a stand-in gets the same data stack', () => {
  assert.deepEqual(local.data?.toJSON(), remote.data?.toJSON());
});

test('a stand-in gets no saved queries and no alarms with expressions, and lacks nothing else', () => {
  const kept = all(local.main);
  const lacking = Object.entries(all(remote.main)).filter(([id]) => kept[id] === undefined);
  assert(lacking.length > 0);
  for (const [id, { Type, Properties }] of lacking) {
    const isQuery = Type === 'AWS::Logs::QueryDefinition';
    assert(isQuery || (Type === 'AWS::CloudWatch::Alarm' && Properties['Metrics'] !== undefined), id);
  }
  assert.deepEqual(
    Object.keys(kept).filter((id) => all(remote.main)[id] === undefined),
    [],
  );
});

test('what a stand-in gets is what an account gets', () => {
  const different = Object.entries(all(local.main)).filter(
    ([id, resource]) => JSON.stringify(resource) !== JSON.stringify(all(remote.main)[id]),
  );
  assert.deepEqual(
    different.map(([id]) => id),
    [],
  );
});

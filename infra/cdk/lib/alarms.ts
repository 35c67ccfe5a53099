/** The description's alarms. */

import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type { Construct } from 'constructs';

import type { Config } from './config.ts';
import type { Deployment } from './deployment.ts';
import { filled } from './description.ts';
import type { AlarmDescription, Reading } from './description.ts';
import { hasAlarm } from './local.ts';
import { arnPart, clusterName } from './names.ts';

/** The placeholders of one alarm, and what tells it from the others of its description. */
interface Subject {
  readonly suffix: string;
  readonly values: Readonly<Record<string, string>>;
}

/** Makes every alarm for everything that it is about. */
export function addAlarms(scope: Construct, deployment: Deployment, topicArn: string): void {
  const { config, description } = deployment;
  for (const alarm of description.alarms.filter((alarm) => hasAlarm(config, alarm))) {
    for (const subject of subjects(alarm, deployment)) {
      const id = `${alarm.name}${subject.suffix}`;
      new cloudwatch.CfnAlarm(scope, `alarm-${id}`, {
        alarmName: `${config.name}-${id}`,
        alarmDescription: `${alarm.description} See ${alarm.runbook}.`,
        alarmActions: [topicArn],
        comparisonOperator: alarm.comparison,
        threshold: alarm.threshold,
        evaluationPeriods: alarm.evaluation_periods,
        datapointsToAlarm: alarm.datapoints,
        treatMissingData: alarm.treat_missing_data,
        ...measured(alarm, subject.values),
      });
    }
  }
}

/** Clusters whose metrics are in this region of this account; alarms see no others. */
export function watchedClusters({ account, region, source, target }: Config): string[] {
  const near = [...source.clusterArns, ...target.clusterArns].filter(
    (arn) => arnPart(arn, 3) === region && arnPart(arn, 4) === account,
  );
  return near.map(clusterName);
}

function subjects({ scope }: AlarmDescription, { config, description, names }: Deployment): Subject[] {
  const values = { name: config.name, state_machine_arn: names.stateMachineArn };
  const about = (name: string, more: Record<string, string>): Subject => ({
    suffix: `-${name}`,
    values: { ...values, ...more },
  });
  switch (scope) {
    case 'deployment':
      return [{ suffix: '', values }];
    case 'function':
      return description.functions.map(({ name }) => about(name, { function: names.function(name) }));
    case 'cluster':
      return watchedClusters(config).map((name) => about(name, { cluster_name: name }));
  }
}

/** One metric stands by itself; metrics and an expression, or an expression alone, are a list of queries. */
function measured(alarm: AlarmDescription, values: Subject['values']): Partial<cloudwatch.CfnAlarmProps> {
  const [first] = alarm.metrics;
  if (alarm.expression === null && first !== undefined) {
    const { namespace, metric, dimensions } = queried(first, values);
    const statistic = /^p\d/.test(first.statistic)
      ? { extendedStatistic: first.statistic }
      : { statistic: first.statistic };
    return { namespace, metricName: metric, dimensions, period: alarm.period_s, ...statistic };
  }
  const expression = filled(alarm.expression ?? '', values);
  const single = alarm.metrics.length === 0 ? { period: alarm.period_s } : {};
  return {
    metrics: [
      { id: 'value', label: alarm.name, expression, returnData: true, ...single },
      ...alarm.metrics.map((reading) => {
        const { namespace, metric: metricName, dimensions } = queried(reading, values);
        const metric = { namespace, metricName, dimensions };
        return {
          id: reading.id,
          returnData: false,
          metricStat: { metric, stat: reading.statistic, period: alarm.period_s },
        };
      }),
    ],
  };
}

function queried({ namespace, metric, dimensions }: Reading, values: Subject['values']) {
  const entries = Object.entries(dimensions).map(([name, value]) => ({ name, value: filled(value, values) }));
  return { namespace, metric, dimensions: entries };
}

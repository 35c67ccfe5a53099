/** The description's graphs and saved queries. */

import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';

import { watchedClusters } from './alarms.ts';
import type { Deployment } from './deployment.ts';
import type { Graph } from './description.ts';

const WIDTH = 12;

/** A dashboard with two graphs in a row. Dashboards of all regions of an account share one set of names. */
export function addDashboard(scope: Construct, deployment: Deployment): void {
  const { name, region } = deployment.config;
  const graph = (graph: Graph): cloudwatch.IWidget =>
    new cloudwatch.GraphWidget({
      title: graph.title,
      width: WIDTH,
      left: graph.metrics.flatMap(([metric, statistic]) => lines(graph, metric, statistic, deployment)),
    });
  const graphs = deployment.description.dashboard.map(graph);
  const rows = graphs.flatMap((_, index) => (index % 2 === 0 ? [graphs.slice(index, index + 2)] : []));
  new cloudwatch.Dashboard(scope, 'Dashboard', { dashboardName: `${name}-${region}`, widgets: rows });
}

/** The lines of one metric. */
function lines(
  { namespace, of }: Graph,
  metricName: string,
  statistic: string,
  { config, description, names }: Deployment,
): cloudwatch.IMetric[] {
  const line = (dimensionsMap: Record<string, string>, label: string): cloudwatch.Metric =>
    new cloudwatch.Metric({ namespace, metricName, statistic, dimensionsMap, label });
  switch (of) {
    case 'deployment':
      return [line({ deployment: config.name }, metricName)];
    case 'state-machine':
      return [line({ StateMachineArn: names.stateMachineArn }, metricName)];
    case 'functions':
      return description.functions.map(({ name }) =>
        line({ FunctionName: names.function(name) }, `${name} ${metricName}`),
      );
    case 'clusters':
      return watchedClusters(config).map((cluster) => search(namespace, metricName, statistic, cluster));
  }
}

/** A line for each broker of a cluster. */
function search(namespace: string, metric: string, statistic: string, cluster: string): cloudwatch.IMetric {
  const schema = `{"${namespace}","Broker ID","Cluster Name"}`;
  const expression = `SEARCH('${schema} MetricName="${metric}" "Cluster Name"="${cluster}"', '${statistic}')`;
  return new cloudwatch.MathExpression({ expression, label: cluster, usingMetrics: {} });
}

/** Saved queries of Logs Insights over the logs of all functions. */
export function addQueries(scope: Construct, { config, description, names }: Deployment): void {
  const logGroupNames = description.functions.map(({ name }) => names.functionLog(name));
  for (const { name, query } of description.queries) {
    new logs.CfnQueryDefinition(scope, `query-${name}`, {
      name: `${config.name}/${name}`,
      queryString: query,
      logGroupNames,
    });
  }
}

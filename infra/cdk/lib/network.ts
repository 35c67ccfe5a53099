/** How functions reach brokers and AWS from the VPC: a security group of their own, and endpoints. */

import { Validations } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Construct } from 'constructs';

import type { Config, Network } from './config.ts';
import type { Deployment } from './deployment.ts';
import type { Description } from './description.ts';
import type { Resources } from './resources.ts';

const HTTPS = ec2.Port.tcp(443);

/** Services that functions call themselves, by the first part of their actions, and how they are reached from a VPC. */
const GATEWAYS = ['dynamodb', 's3'];
const INTERFACES: Readonly<Record<string, ec2.InterfaceVpcEndpointAwsService>> = {
  events: ec2.InterfaceVpcEndpointAwsService.EVENTBRIDGE,
  kafka: new ec2.InterfaceVpcEndpointAwsService('kafka'),
  kms: ec2.InterfaceVpcEndpointAwsService.KMS,
  secretsmanager: ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
  states: ec2.InterfaceVpcEndpointAwsService.STEP_FUNCTIONS,
  sts: ec2.InterfaceVpcEndpointAwsService.STS,
};

/** What Lambda does on its own ways, and what brokers are asked. */
const NO_ENDPOINTS = ['ec2', 'kafka-cluster', 'logs'];

/** The VPC as the functions in it see it. */
export class FunctionNetwork extends Construct {
  readonly vpc: ec2.IVpc;
  readonly securityGroup: ec2.ISecurityGroup;
  readonly subnets: ec2.SubnetSelection;

  constructor(scope: Construct, network: Network, { config, description }: Deployment, resources: Resources) {
    super(scope, 'Network');
    this.vpc = ec2.Vpc.fromVpcAttributes(this, 'Vpc', {
      vpcId: network.vpcId,
      availabilityZones: [...network.availabilityZones],
      privateSubnetIds: [...network.subnetIds],
    });
    Validations.of(this.vpc).acknowledge({
      id: 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
      reason: 'The gateway endpoints name their route tables themselves.',
    });
    this.subnets = { subnets: this.vpc.privateSubnets };
    const group = new ec2.SecurityGroup(this, 'SecurityGroup', {
      vpc: this.vpc,
      description: `Functions of ${config.name}: out to brokers and AWS`,
      allowAllOutbound: false,
    });
    this.securityGroup = group;
    this.reachBrokers(config, network, description);
    const services = calledServices(description, resources);
    const endpointGroups =
      network.endpoints === 'create'
        ? [this.createEndpoints(network, services, config.region)]
        : this.existing(network);
    this.reachAws(config, network, endpointGroups);
  }

  /** Out to the brokers' ports, and in at their security groups. Both sides may be in one place, which has one rule. */
  private reachBrokers({ source, target }: Config, network: Network, description: Description): void {
    const groups = new Map<string, readonly [id: string, port: number]>();
    const ranges = new Map<string, readonly [cidr: string, port: number]>();
    for (const side of [source, target]) {
      for (const port of side.ports.length > 0 ? side.ports : description.broker_ports[side.auth]) {
        side.securityGroupIds.forEach((id) => groups.set(`${id}-${port}`, [id, port]));
        side.cidrs.forEach((cidr) => ranges.set(`${cidr}-${port}`, [cidr, port]));
      }
    }
    for (const [cidr, port] of ranges.values()) {
      this.securityGroup.addEgressRule(ec2.Peer.ipv4(cidr), ec2.Port.tcp(port), 'brokers');
    }
    for (const [name, [id, port]] of groups) {
      this.securityGroup.addEgressRule(ec2.Peer.securityGroupId(id), ec2.Port.tcp(port), 'brokers');
      if (network.brokerIngress) {
        new ec2.CfnSecurityGroupIngress(this, `brokers-${name}`, {
          groupId: id,
          ipProtocol: 'tcp',
          fromPort: port,
          toPort: port,
          sourceSecurityGroupId: this.securityGroup.securityGroupId,
          description: 'functions of msk-kraft',
        });
      }
    }
  }

  /** Out to AWS, and to webhooks. Without the prefix lists of S3 and DynamoDB it is to any address. */
  private reachAws(config: Config, network: Network, endpointGroups: readonly ec2.ISecurityGroup[]): void {
    const narrow = network.prefixListIds.length > 0 && endpointGroups.length > 0;
    if (!narrow || config.webhooks.enabled) {
      this.securityGroup.addEgressRule(ec2.Peer.anyIpv4(), HTTPS, 'AWS and webhooks');
      return;
    }
    for (const id of network.prefixListIds) {
      this.securityGroup.addEgressRule(ec2.Peer.prefixList(id), HTTPS, 'gateway endpoints');
    }
    for (const group of endpointGroups) {
      this.securityGroup.addEgressRule(group, HTTPS, 'interface endpoints');
    }
  }

  private createEndpoints(network: Network, services: ReadonlySet<string>, region: string): ec2.ISecurityGroup {
    const group = new ec2.SecurityGroup(this, 'EndpointSecurityGroup', {
      vpc: this.vpc,
      description: 'Endpoints of AWS for the functions of msk-kraft',
      allowAllOutbound: false,
    });
    group.addIngressRule(this.securityGroup, HTTPS, 'functions of msk-kraft');
    for (const name of GATEWAYS.filter((name) => services.has(name))) {
      new ec2.CfnVPCEndpoint(this, `${name}-gateway`, {
        vpcEndpointType: 'Gateway',
        serviceName: `com.amazonaws.${region}.${name}`,
        vpcId: network.vpcId,
        routeTableIds: [...network.routeTableIds],
      });
    }
    for (const [name, service] of Object.entries(INTERFACES)) {
      if (services.has(name)) {
        new ec2.InterfaceVpcEndpoint(this, `${name}-endpoint`, {
          vpc: this.vpc,
          service,
          subnets: this.subnets,
          securityGroups: [group],
          open: false,
        });
      }
    }
    return group;
  }

  private existing(network: Network): ec2.ISecurityGroup[] {
    return network.endpointSecurityGroupIds.map((id) => ec2.SecurityGroup.fromSecurityGroupId(this, id, id));
  }
}

/** What the functions in the VPC call themselves. Keys under a condition are used by S3 and Secrets Manager on their behalf. */
export function calledServices(description: Description, resources: Resources): ReadonlySet<string> {
  const joined = description.functions.filter((described) => resources.joinsNetwork(described));
  const calls = joined.flatMap((described) => resources.ofFunction(described));
  const own = calls.filter(({ conditions }) => Object.keys(conditions).length === 0);
  const services = new Set(own.flatMap(({ actions }) => actions.map((action) => action.split(':')[0] ?? '')));
  const unknown = [...services].find(
    (service) => ![...GATEWAYS, ...Object.keys(INTERFACES), ...NO_ENDPOINTS].includes(service),
  );
  if (unknown !== undefined) {
    throw new Error(
      `infra/description.json has functions in the VPC call ${unknown}, whose endpoint this app does not know`,
    );
  }
  return services;
}

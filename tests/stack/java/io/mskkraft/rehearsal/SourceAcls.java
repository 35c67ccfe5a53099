package io.mskkraft.rehearsal;

import static org.apache.kafka.common.acl.AclPermissionType.ALLOW;
import static org.apache.kafka.common.acl.AclPermissionType.DENY;
import static org.apache.kafka.common.resource.PatternType.LITERAL;
import static org.apache.kafka.common.resource.PatternType.PREFIXED;

import java.util.List;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** The access rules of the source. */
final class SourceAcls {
    private SourceAcls() {}

    /** Creates the rules and returns how many there are. */
    static int create(Admin admin) throws Exception {
        List<AclBinding> rules = List.of(
                rule(ResourceType.TOPIC, "orders", LITERAL, "User:order-service", "*", AclOperation.READ, ALLOW),
                rule(ResourceType.TOPIC, "orders", LITERAL, "User:order-service", "*", AclOperation.DESCRIBE, ALLOW),
                rule(ResourceType.TOPIC, "orders", LITERAL, "User:shop", "10.0.3.17", AclOperation.WRITE, ALLOW),
                rule(ResourceType.TOPIC, "orders", LITERAL, "User:intern", "*", AclOperation.ALL, DENY),
                rule(ResourceType.TOPIC, "cdc.", PREFIXED, "User:connect", "*", AclOperation.ALL, ALLOW),
                rule(ResourceType.TOPIC, "streams.", PREFIXED, "User:streams", "*", AclOperation.CREATE, ALLOW),
                rule(ResourceType.TOPIC, "streams.", PREFIXED, "User:streams", "*", AclOperation.DELETE, ALLOW),
                rule(ResourceType.TOPIC, "payments", LITERAL, "User:CN=payments,OU=shop,O=Ex\\, Ltd,C=DE", "*",
                        AclOperation.WRITE, ALLOW),
                rule(ResourceType.TOPIC, "payments", PREFIXED, "User:*", "192.168.7.9", AclOperation.READ, DENY),
                rule(ResourceType.TOPIC, "*", LITERAL, "User:auditor", "*", AclOperation.READ, ALLOW),
                rule(ResourceType.TOPIC, "_schemas", LITERAL, "User:registry", "*", AclOperation.ALTER_CONFIGS, ALLOW),
                rule(ResourceType.GROUP, "order-service", LITERAL, "User:order-service", "*", AclOperation.READ, ALLOW),
                rule(ResourceType.GROUP, "analytics", PREFIXED, "User:analytics", "2001:db8::7", AclOperation.READ,
                        ALLOW),
                rule(ResourceType.GROUP, "*", LITERAL, "User:auditor", "*", AclOperation.DESCRIBE, ALLOW),
                rule(ResourceType.CLUSTER, "kafka-cluster", LITERAL, "User:admin", "*", AclOperation.ALTER, ALLOW),
                rule(ResourceType.CLUSTER, "kafka-cluster", LITERAL, "User:shop", "*", AclOperation.IDEMPOTENT_WRITE,
                        ALLOW),
                rule(ResourceType.TRANSACTIONAL_ID, "payments-", PREFIXED, "User:payments", "*", AclOperation.WRITE,
                        ALLOW),
                rule(ResourceType.TRANSACTIONAL_ID, "settlement", LITERAL, "User:payments", "*",
                        AclOperation.DESCRIBE, ALLOW),
                rule(ResourceType.DELEGATION_TOKEN, "token-1", LITERAL, "User:admin", "*", AclOperation.DESCRIBE,
                        ALLOW));
        admin.createAcls(rules).all().get();
        return rules.size();
    }

    private static AclBinding rule(
            ResourceType type,
            String name,
            PatternType pattern,
            String principal,
            String host,
            AclOperation operation,
            AclPermissionType permission) {
        return new AclBinding(
                new ResourcePattern(type, name, pattern),
                new AccessControlEntry(principal, host, operation, permission));
    }
}

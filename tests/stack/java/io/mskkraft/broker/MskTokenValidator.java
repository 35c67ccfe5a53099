package io.mskkraft.broker;

import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerExtensionsValidatorCallback;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/**
 * What MSK does with an IAM token, for one access key: checks its shape, who signed it, that the signature is right, and that
 * it is still good. The token is the address of a GET request, presigned with Signature Version 4, in base64url.
 */
public final class MskTokenValidator implements AuthenticateCallbackHandler {
    private static final String REGION = "us-east-1";
    private static final String HOST = "kafka." + REGION + ".amazonaws.com";
    private static final String SERVICE = "kafka-cluster";
    private static final String ACCESS_KEY = "test";
    private static final String SECRET_KEY = "test";
    private static final int LIFETIME_SECONDS = 900;
    private static final Duration CLOCK_SKEW = Duration.ofMinutes(5);
    private static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);
    /** All parameters that every token has; the signature covers those in front of the last two. */
    private static final Set<String> PARAMETERS = Set.of(
            "Action", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
            "X-Amz-Signature", "User-Agent");
    /** The parameter of temporary credentials, as a role has them; the signature covers it. */
    private static final String SESSION = "X-Amz-Security-Token";
    /** What a session's token looks like: base64, and not short. */
    private static final Pattern SESSION_TOKEN = Pattern.compile("[A-Za-z0-9+/]{64,}={0,2}");

    /** Why a token is no good. */
    private static final class Refused extends Exception {
        private static final long serialVersionUID = 1L;

        Refused(String why) {
            super(why);
        }
    }

    @Override
    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> jaas) {
        if (!"OAUTHBEARER".equals(mechanism)) {
            throw new IllegalArgumentException("not for " + mechanism);
        }
    }

    @Override
    public void handle(Callback[] callbacks) throws UnsupportedCallbackException {
        for (Callback callback : callbacks) {
            if (callback instanceof OAuthBearerValidatorCallback) {
                validate((OAuthBearerValidatorCallback) callback);
            } else if (!(callback instanceof OAuthBearerExtensionsValidatorCallback)) {
                throw new UnsupportedCallbackException(callback);
            }
        }
    }

    @Override
    public void close() {}

    private static void validate(OAuthBearerValidatorCallback callback) {
        try {
            callback.token(check(callback.tokenValue(), Instant.now()));
        } catch (Refused refused) {
            callback.error("invalid_token: " + refused.getMessage(), null, null);
        } catch (IllegalArgumentException | GeneralSecurityException unreadable) {
            callback.error("invalid_token: unreadable: " + unreadable.getMessage(), null, null);
        }
    }

    private static OAuthBearerToken check(String token, Instant now) throws Refused, GeneralSecurityException {
        require(!token.contains("="), "padded");
        URI address = URI.create(new String(Base64.getUrlDecoder().decode(token), StandardCharsets.UTF_8));
        require("https".equals(address.getScheme()) && HOST.equals(address.getHost()), "for " + address.getHost());
        require("/".equals(address.getPath()), "path " + address.getPath());
        Map<String, String> given = parameters(address.getRawQuery());
        Set<String> always = new HashSet<>(given.keySet());
        if (always.remove(SESSION)) {
            require(SESSION_TOKEN.matcher(given.get(SESSION)).matches(), "session token");
        }
        require(always.equals(PARAMETERS), "parameters " + given.keySet());
        require("kafka-cluster:Connect".equals(given.get("Action")), "action " + given.get("Action"));
        require("AWS4-HMAC-SHA256".equals(given.get("X-Amz-Algorithm")), "algorithm");
        require("host".equals(given.get("X-Amz-SignedHeaders")), "headers");
        require(String.valueOf(LIFETIME_SECONDS).equals(given.get("X-Amz-Expires")), "lifetime");

        String date = given.get("X-Amz-Date");
        String scope = date.substring(0, 8) + "/" + REGION + "/" + SERVICE + "/aws4_request";
        require((ACCESS_KEY + "/" + scope).equals(given.get("X-Amz-Credential")), "signer " + given.get("X-Amz-Credential"));
        Instant signed = Instant.from(TIME.parse(date));
        Instant end = signed.plusSeconds(LIFETIME_SECONDS);
        require(now.isBefore(end), "expired");
        require(signed.isBefore(now.plus(CLOCK_SKEW)), "signed in the future");
        byte[] right = signature(given, date, scope).getBytes(StandardCharsets.US_ASCII);
        byte[] found = given.get("X-Amz-Signature").getBytes(StandardCharsets.US_ASCII);
        require(MessageDigest.isEqual(right, found), "signature");
        return new MskToken(token, signed.toEpochMilli(), end.toEpochMilli());
    }

    private static Map<String, String> parameters(String query) {
        Map<String, String> parameters = new TreeMap<>();
        for (String pair : query.split("&")) {
            int at = pair.indexOf('=');
            parameters.put(pair.substring(0, at), URLDecoder.decode(pair.substring(at + 1), StandardCharsets.UTF_8));
        }
        return parameters;
    }

    /** Signature Version 4 of the request without a body. */
    private static String signature(Map<String, String> given, String date, String scope) throws GeneralSecurityException {
        StringBuilder query = new StringBuilder();
        for (Map.Entry<String, String> parameter : given.entrySet()) {
            if (!Set.of("X-Amz-Signature", "User-Agent").contains(parameter.getKey())) {
                query.append(query.length() == 0 ? "" : "&").append(parameter.getKey()).append('=');
                query.append(URLEncoder.encode(parameter.getValue(), StandardCharsets.UTF_8));
            }
        }
        String request = String.join("\n", "GET", "/", query, "host:" + HOST, "", "host", sha256(""));
        String text = String.join("\n", "AWS4-HMAC-SHA256", date, scope, sha256(request));
        byte[] key = ("AWS4" + SECRET_KEY).getBytes(StandardCharsets.UTF_8);
        for (String part : scope.split("/")) {
            key = hmac(key, part);
        }
        return HexFormat.of().formatHex(hmac(key, text));
    }

    private static String sha256(String text) throws GeneralSecurityException {
        byte[] hash = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
        return HexFormat.of().formatHex(hash);
    }

    private static byte[] hmac(byte[] key, String text) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }

    private static void require(boolean good, String why) throws Refused {
        if (!good) {
            throw new Refused(why);
        }
    }

    /** A token that passed. */
    private static final class MskToken implements OAuthBearerToken {
        private final String value;
        private final long startMs;
        private final long endMs;

        MskToken(String value, long startMs, long endMs) {
            this.value = value;
            this.startMs = startMs;
            this.endMs = endMs;
        }

        @Override
        public String value() {
            return value;
        }

        @Override
        public Set<String> scope() {
            return Set.of();
        }

        @Override
        public long lifetimeMs() {
            return endMs;
        }

        @Override
        public String principalName() {
            return ACCESS_KEY;
        }

        @Override
        public Long startTimeMs() {
            return startMs;
        }
    }
}

package io.sluice.apiserver;

import io.sluice.apiserver.Pem.Identity;
import java.io.IOException;
import java.net.Socket;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SNIServerName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedTrustManager;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Trusted CAs and client certificate for TLS. The TLS context is rebuilt when the files change. If their content is
 * invalid, this is logged and the previous context stays in use.
 */
final class Tls {
    private static final Logger log = LoggerFactory.getLogger(Tls.class);
    private static final char[] NO_PASSWORD = new char[0];
    private static final int DNS_NAME = 2;

    private final @Nullable FileCredential authority;
    private final @Nullable FileCredential certificate;
    private final @Nullable FileCredential key;
    private final boolean insecure;
    private @Nullable Identity fromPlugin;
    private SSLContext context;
    private @Nullable String lastError;

    /**
     * @param authority trusted CA certificates; null for the CAs of the Java runtime
     * @param certificate client certificate, used with {@code key}; both are null for none
     */
    Tls(
            @Nullable FileCredential authority,
            @Nullable FileCredential certificate,
            @Nullable FileCredential key,
            boolean insecure)
            throws ApiAccessException {
        this.authority = authority;
        this.certificate = certificate;
        this.key = key;
        this.insecure = insecure;
        try {
            context = build();
        } catch (IllegalArgumentException e) {
            throw new ApiAccessException(String.valueOf(e.getMessage()));
        }
    }

    @Nullable
    FileCredential authority() {
        return authority;
    }

    boolean insecure() {
        return insecure;
    }

    /**
     * TLS context for new connections; the same instance until a file or the identity changes.
     *
     * @param identity client certificate from the exec plugin, used if none is configured
     * @param force whether to read the files even if they were checked less than a second ago
     */
    synchronized SSLContext context(@Nullable Identity identity, long nowNanos, boolean force) {
        boolean changed = refresh(authority, nowNanos, force);
        changed |= refresh(certificate, nowNanos, force);
        changed |= refresh(key, nowNanos, force);
        if (identity != null && !identity.equals(fromPlugin)) {
            fromPlugin = identity;
            changed = true;
        }
        if (changed) {
            try {
                context = build();
                lastError = null;
            } catch (IllegalArgumentException e) {
                if (!Objects.equals(lastError, e.getMessage())) {
                    lastError = e.getMessage();
                    log.warn("invalid TLS credentials: {}; continuing with the previous ones", lastError);
                }
            }
        }
        return context;
    }

    private static boolean refresh(@Nullable FileCredential credential, long nowNanos, boolean force) {
        return credential != null && credential.refresh(nowNanos, force);
    }

    /** Creates the TLS context; if a credential is invalid, fails with a message that names the credential. */
    private SSLContext build() {
        try {
            SSLContext created = SSLContext.getInstance("TLS");
            created.init(
                    keyManagers(),
                    new TrustManager[] {insecure ? new TrustAllManager() : new NameCheckingManager(trustManager())},
                    null);
            return created;
        } catch (GeneralSecurityException | IOException e) {
            throw new IllegalArgumentException("cannot set up TLS: " + e.getMessage(), e);
        }
    }

    private X509ExtendedTrustManager trustManager() throws GeneralSecurityException, IOException {
        KeyStore store = null;
        if (authority != null) {
            store = emptyStore();
            for (X509Certificate each : certificates(authority.name(), authority.text())) {
                store.setCertificateEntry("ca-" + store.size(), each);
            }
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        return (X509ExtendedTrustManager) factory.getTrustManagers()[0];
    }

    private KeyManager @Nullable [] keyManagers() throws GeneralSecurityException, IOException {
        String certificateName = "the certificate of the exec plugin";
        String keyName = "the key of the exec plugin";
        Identity identity = fromPlugin;
        if (certificate != null && key != null) {
            certificateName = certificate.name();
            keyName = key.name();
            identity = new Identity(certificate.text(), key.text());
        }
        if (identity == null) {
            return null;
        }
        KeyStore store = emptyStore();
        X509Certificate[] chain =
                certificates(certificateName, identity.certificate()).toArray(X509Certificate[]::new);
        try {
            store.setKeyEntry("client", Pem.privateKey(identity.key()), NO_PASSWORD, chain);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(keyName + ": " + e.getMessage(), e);
        }
        KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        factory.init(store, NO_PASSWORD);
        return factory.getKeyManagers();
    }

    private static KeyStore emptyStore() throws GeneralSecurityException, IOException {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, NO_PASSWORD);
        return store;
    }

    private static List<X509Certificate> certificates(String name, String text) {
        try {
            return Pem.certificates(text);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(name + ": " + e.getMessage(), e);
        }
    }

    /** Trust manager for server certificates. Supports only an {@link SSLEngine}, as used by the HTTP client. */
    private abstract static class ServerTrustManager extends X509ExtendedTrustManager {
        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type) throws CertificateException {
            throw new CertificateException("client certificates are not supported");
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket)
                throws CertificateException {
            checkClientTrusted(chain, type);
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine)
                throws CertificateException {
            checkClientTrusted(chain, type);
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type) throws CertificateException {
            throw new CertificateException("cannot check a server certificate without an SSL engine");
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket)
                throws CertificateException {
            checkServerTrusted(chain, type);
        }
    }

    /** Accepts every certificate, for insecure-skip-tls-verify. */
    private static final class TrustAllManager extends ServerTrustManager {
        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }

    /**
     * Checks that the certificate is valid for the host name even if the connection was made to an IP address. Without
     * this check, the JDK would also accept a certificate for that IP address, such as a node's certificate.
     */
    private static final class NameCheckingManager extends ServerTrustManager {
        private final X509ExtendedTrustManager delegate;

        NameCheckingManager(X509ExtendedTrustManager delegate) {
            this.delegate = delegate;
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine)
                throws CertificateException {
            List<SNIServerName> names = engine.getSSLParameters().getServerNames();
            for (SNIServerName each : names == null ? List.<SNIServerName>of() : names) {
                String name = each instanceof SNIHostName host ? host.getAsciiName() : "";
                if (!name.equalsIgnoreCase(engine.getPeerHost()) && !isValidFor(name, chain[0])) {
                    throw new CertificateException("the server certificate is not valid for " + name);
                }
            }
            delegate.checkServerTrusted(chain, type, engine);
        }

        private static boolean isValidFor(String name, X509Certificate certificate) throws CertificateException {
            Collection<List<?>> alternatives = certificate.getSubjectAlternativeNames();
            return alternatives != null
                    && alternatives.stream()
                            .filter(each -> Integer.valueOf(DNS_NAME).equals(each.get(0)))
                            .anyMatch(each -> matches(String.valueOf(each.get(1)), name));
        }

        /** Whether a DNS name matches a pattern; a wildcard matches only the first label. */
        private static boolean matches(String pattern, String name) {
            int dot = name.indexOf('.');
            return pattern.equalsIgnoreCase(name)
                    || (pattern.startsWith("*.")
                            && dot > 0
                            && name.substring(dot + 1)
                                    .toLowerCase(Locale.ROOT)
                                    .equals(pattern.substring(2).toLowerCase(Locale.ROOT)));
        }

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return delegate.getAcceptedIssuers();
        }
    }
}

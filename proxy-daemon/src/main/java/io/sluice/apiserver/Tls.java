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
 * Whom we trust and who we are, as far as TLS is concerned; made anew when the files behind it change. What is broken
 * is not taken over.
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
    private @Nullable String broken;

    /**
     * @param authority whose certificates are trusted; null for those this Java trusts
     * @param certificate ours, with {@code key}; or both null
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
     * What to connect with. The same until something has changed.
     *
     * @param identity a certificate of a plugin's, which counts where none is given otherwise
     * @param atOnce whether files are read even if they were looked at just now
     */
    synchronized SSLContext context(@Nullable Identity identity, long nowNanos, boolean atOnce) {
        boolean changed = refresh(authority, nowNanos, atOnce);
        changed |= refresh(certificate, nowNanos, atOnce);
        changed |= refresh(key, nowNanos, atOnce);
        if (identity != null && !identity.equals(fromPlugin)) {
            fromPlugin = identity;
            changed = true;
        }
        if (changed) {
            try {
                context = build();
                broken = null;
            } catch (IllegalArgumentException e) {
                if (!Objects.equals(broken, e.getMessage())) {
                    broken = e.getMessage();
                    log.warn("{}; what was there before is used", broken);
                }
            }
        }
        return context;
    }

    private static boolean refresh(@Nullable FileCredential material, long nowNanos, boolean atOnce) {
        return material != null && material.refresh(nowNanos, atOnce);
    }

    /** @throws IllegalArgumentException naming what cannot be used */
    private SSLContext build() {
        try {
            SSLContext made = SSLContext.getInstance("TLS");
            made.init(
                    keyManagers(),
                    new TrustManager[] {insecure ? new TrustAllManager() : new NameCheckingManager(trusted())},
                    null);
            return made;
        } catch (GeneralSecurityException | IOException e) {
            throw new IllegalArgumentException("TLS cannot be set up: " + e.getMessage(), e);
        }
    }

    private X509ExtendedTrustManager trusted() throws GeneralSecurityException, IOException {
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
            store.setKeyEntry("us", Pem.privateKey(identity.key()), NO_PASSWORD, chain);
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

    /** Only ever asked for servers, with an engine: what else there is to override is refused. */
    private abstract static class OfServers extends X509ExtendedTrustManager {
        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type) throws CertificateException {
            throw new CertificateException("there are no clients here");
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
            throw new CertificateException("it is not known whose certificate this is");
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket)
                throws CertificateException {
            checkServerTrusted(chain, type);
        }
    }

    /** What was asked for. */
    private static final class TrustAllManager extends OfServers {
        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }

    /**
     * A server with a name that was dialled by one of its addresses has to prove the name. The JDK would be content with
     * the address, which a certificate of any node may hold.
     */
    private static final class NameCheckingManager extends OfServers {
        private final X509ExtendedTrustManager checksAllElse;

        NameCheckingManager(X509ExtendedTrustManager checksAllElse) {
            this.checksAllElse = checksAllElse;
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine)
                throws CertificateException {
            List<SNIServerName> names = engine.getSSLParameters().getServerNames();
            for (SNIServerName each : names == null ? List.<SNIServerName>of() : names) {
                String name = each instanceof SNIHostName host ? host.getAsciiName() : "";
                if (!name.equalsIgnoreCase(engine.getPeerHost()) && !isFor(name, chain[0])) {
                    throw new CertificateException("its certificate is not for " + name);
                }
            }
            checksAllElse.checkServerTrusted(chain, type, engine);
        }

        private static boolean isFor(String name, X509Certificate certificate) throws CertificateException {
            Collection<List<?>> alternatives = certificate.getSubjectAlternativeNames();
            return alternatives != null
                    && alternatives.stream()
                            .filter(each -> Integer.valueOf(DNS_NAME).equals(each.get(0)))
                            .anyMatch(each -> matches(String.valueOf(each.get(1)), name));
        }

        /** A star stands for one label, the first. */
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
            return checksAllElse.getAcceptedIssuers();
        }
    }
}

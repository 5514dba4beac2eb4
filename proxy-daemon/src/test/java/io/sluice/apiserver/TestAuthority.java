package io.sluice.apiserver;

import io.sluice.apiserver.Pem.Identity;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Certificate authority for tests, created with the JDK's keytool. */
public final class TestAuthority {
    private static final String PASSWORD = "changeit";

    private final Path directory;
    private final Path store;
    /** Cached, because keytool needs half a second for each. */
    private final Map<String, Identity> identities = new HashMap<>();

    private TestAuthority(Path directory) {
        this.directory = directory;
        store = directory.resolve("keys.p12");
    }

    /**
     * Creates a certificate authority.
     *
     * @param directory an empty directory for its files
     */
    public static TestAuthority in(Path directory) {
        TestAuthority authority = new TestAuthority(directory);
        authority.keytool(
                "-alias", "ca", "-keyalg", "EC", "-dname", "CN=test-ca-" + directory.getFileName(), "-ext", "bc:c");
        return authority;
    }

    /** The CA certificate. */
    public String certificate() {
        return pem("CERTIFICATE", encoded(certificates("ca")[0]));
    }

    /** A server certificate and key. */
    Identity server(String names) {
        return signed("EC", "CN=server", "-ext", "san=" + names);
    }

    /** A client certificate with its key in PKCS#8; the algorithm is {@code EC} or {@code RSA}. */
    Identity client(String algorithm, String user) {
        return signed(algorithm, "CN=" + user);
    }

    private synchronized Identity signed(String algorithm, String name, String... more) {
        return identities.computeIfAbsent(
                algorithm + name + Arrays.toString(more),
                unused -> make("key-" + identities.size(), algorithm, name, more));
    }

    private Identity make(String alias, String algorithm, String name, String... more) {
        List<String> arguments =
                new ArrayList<>(List.of("-alias", alias, "-signer", "ca", "-keyalg", algorithm, "-dname", name));
        arguments.addAll(Arrays.asList(more));
        keytool(arguments.toArray(String[]::new));
        return new Identity(
                pem("CERTIFICATE", encoded(certificates(alias)[0])),
                pem("PRIVATE KEY", key(alias).getEncoded()));
    }

    static String pem(String type, byte[] der) {
        return "-----BEGIN " + type + "-----\n"
                + Base64.getMimeEncoder(64, "\n".getBytes(StandardCharsets.US_ASCII))
                        .encodeToString(der)
                + "\n-----END " + type + "-----\n";
    }

    private static byte[] encoded(Certificate certificate) {
        try {
            return certificate.getEncoded();
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    private Certificate[] certificates(String alias) {
        try {
            return keys().getCertificateChain(alias);
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    private PrivateKey key(String alias) {
        try {
            return (PrivateKey) keys().getKey(alias, PASSWORD.toCharArray());
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    private KeyStore keys() throws GeneralSecurityException {
        try (InputStream in = Files.newInputStream(store)) {
            KeyStore keys = KeyStore.getInstance("PKCS12");
            keys.load(in, PASSWORD.toCharArray());
            return keys;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void keytool(String... arguments) {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString(), "-genkeypair"));
        command.addAll(Arrays.asList(arguments));
        command.addAll(List.of("-keystore", store.toString(), "-storepass", PASSWORD));
        try {
            Path output = directory.resolve("keytool.txt");
            int code = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(output.toFile())
                    .start()
                    .waitFor();
            if (code != 0) {
                throw new IllegalStateException(command + ": " + Files.readString(output));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}

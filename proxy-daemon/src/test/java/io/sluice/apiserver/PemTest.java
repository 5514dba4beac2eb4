package io.sluice.apiserver;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.apiserver.Pem.Identity;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.interfaces.ECPrivateKey;
import java.security.spec.ECGenParameterSpec;
import java.util.Arrays;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Keys in all formats that OpenSSL, kubeadm and cloud tools write. */
final class PemTest {
    private static final String EC_PARAMETERS =
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";

    private static PrivateKey generated(String algorithm, int bits) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance(algorithm);
        if (algorithm.equals("EC")) {
            generator.initialize(new ECGenParameterSpec("secp" + bits + "r1"));
        } else if (bits > 0) {
            generator.initialize(bits);
        }
        return generator.generateKeyPair().getPrivate();
    }

    @ParameterizedTest
    @CsvSource({"RSA, 2048", "RSA, 4096", "EC, 256", "EC, 384", "EC, 521", "Ed25519, 0"})
    void pkcs8(String algorithm, int bits) throws Exception {
        PrivateKey key = generated(algorithm, bits);
        assertThat(Pem.privateKey(TestAuthority.pem("PRIVATE KEY", key.getEncoded())))
                .isEqualTo(key);
    }

    @ParameterizedTest
    @ValueSource(ints = {512, 1024, 2048, 4096})
    void pkcs1(int bits) throws Exception {
        PrivateKey key = generated("RSA", bits);
        byte[] pkcs8 = key.getEncoded();
        // The PKCS#1 key is the octet string behind header, version and algorithm.
        int octets = 4 + 3 + 15;
        byte[] pkcs1 = Arrays.copyOfRange(pkcs8, octets + 4, pkcs8.length);
        assertThat(Pem.privateKey(TestAuthority.pem("RSA PRIVATE KEY", pkcs1))).isEqualTo(key);
    }

    @ParameterizedTest
    @CsvSource({"256, 06082a8648ce3d030107", "384, 06052b81040022", "521, 06052b81040023"})
    void sec1(int bits, String curve) throws Exception {
        ECPrivateKey key = (ECPrivateKey) generated("EC", bits);
        for (boolean withPoint : new boolean[] {false, true}) {
            String pem = TestAuthority.pem(
                    "EC PRIVATE KEY", sec1(key, bits, HexFormat.of().parseHex(curve), withPoint));
            assertThat(((ECPrivateKey) Pem.privateKey(pem)).getS()).isEqualTo(key.getS());
            // With parameters, as 'openssl ecparam -genkey' writes it.
            assertThat(((ECPrivateKey) Pem.privateKey(EC_PARAMETERS + pem)).getS())
                    .isEqualTo(key.getS());
        }
    }

    private static byte[] element(int tag, byte[] content) {
        ByteArrayOutputStream element = new ByteArrayOutputStream();
        element.write(tag);
        if (content.length > 0xFF) {
            element.writeBytes(new byte[] {(byte) 0x82, (byte) (content.length >> 8)});
        } else if (content.length > 0x7F) {
            element.write(0x81);
        }
        element.write(content.length);
        element.writeBytes(content);
        return element.toByteArray();
    }

    /** Encodes version, number, curve in [0], and optionally the public key in [1], as OpenSSL and Go do. */
    private static byte[] sec1(ECPrivateKey key, int bits, byte[] curve, boolean withPoint) {
        byte[] number = new byte[(bits + 7) / 8];
        byte[] s = key.getS().toByteArray();
        int length = Math.min(s.length, number.length);
        System.arraycopy(s, s.length - length, number, number.length - length, length);
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        content.writeBytes(new byte[] {2, 1, 1, 4, (byte) number.length});
        content.writeBytes(number);
        content.writeBytes(new byte[] {(byte) 0xA0, (byte) curve.length});
        content.writeBytes(curve);
        if (withPoint) {
            // [1] is a bit string with an uncompressed point; the parser ignores its content.
            byte[] point = new byte[2 + 2 * number.length];
            point[1] = 4;
            content.writeBytes(element(0xA1, element(3, point)));
        }
        return element(0x30, content.toByteArray());
    }

    @Test
    void readsCertificatesAndKeyFromOneFile(@TempDir Path directory) {
        TestAuthority authority = TestAuthority.in(directory);
        Identity client = authority.client("EC", "me");
        String both = "text before\r\n" + client.certificate() + authority.certificate() + client.key();
        assertThat(Pem.certificates(both)).hasSize(2);
        assertThat(Pem.privateKey(both.replace("\n", "\r\n"))).isEqualTo(Pem.privateKey(client.key()));
    }

    @ParameterizedTest
    @CsvSource({
        "SOMETHING, AAAA, contains no PEM private key (-----BEGIN PRIVATE KEY-----)",
        "PRIVATE KEY, AAAA, 'contains an invalid or unsupported private key; must be an RSA, EC or Ed25519 key'",
        "DSA PRIVATE KEY, AAAA, 'contains an invalid or unsupported private key; must be an RSA, EC or Ed25519 key'",
        "PRIVATE KEY, *?, contains a PEM block that is not valid base64",
        "EC PRIVATE KEY, MAMC, contains a truncated EC key",
        "EC PRIVATE KEY, MAgCAQEEATAwAA==, contains an EC key without a named curve",
        "ENCRYPTED PRIVATE KEY, AAAA, contains an encrypted private key; use one without a passphrase"
    })
    void rejectsAnInvalidKey(String type, String content, String message) {
        String text = "-----BEGIN " + type + "-----\n" + content + "\n-----END " + type + "-----";
        assertThatThrownBy(() -> Pem.privateKey(text)).hasMessage(message);
    }

    @Test
    void rejectsAKeyWithOpensslEncryption() {
        String pem = """
                -----BEGIN RSA PRIVATE KEY-----
                Proc-Type: 4,ENCRYPTED
                DEK-Info: AES-256-CBC,00

                AAAA
                -----END RSA PRIVATE KEY-----
                """;
        assertThatThrownBy(() -> Pem.privateKey(pem))
                .hasMessage("contains an encrypted private key; use one without a passphrase");
    }
}

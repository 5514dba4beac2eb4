package io.sluice.apiserver;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Parser for certificates and private keys in PEM.
 *
 * <p>The JDK reads only PKCS#8 keys. This parser wraps RSA keys in PKCS#1 and EC keys in SEC 1, the older formats that
 * kubeadm writes, in PKCS#8. Invalid input is reported as an {@link IllegalArgumentException} whose message never
 * quotes the input.
 */
final class Pem {
    private static final Pattern BLOCK =
            Pattern.compile("-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \\1-----", Pattern.DOTALL);

    private static final int SEQUENCE = 0x30;
    private static final int OCTET_STRING = 0x04;
    private static final int PARAMETERS = 0xA0;
    private static final byte[] VERSION_0 = HexFormat.of().parseHex("020100");
    private static final byte[] RSA = HexFormat.of().parseHex("300d06092a864886f70d0101010500");
    private static final byte[] EC_PUBLIC_KEY = HexFormat.of().parseHex("06072a8648ce3d0201");

    private Pem() {}

    /** Returns all certificates in a string and ignores other content. Fails if the string contains no certificate. */
    static List<X509Certificate> certificates(String text) {
        List<X509Certificate> certificates = new ArrayList<>();
        Matcher blocks = blocks(text);
        while (blocks.find()) {
            if (blocks.group(1).equals("CERTIFICATE")) {
                certificates.add(certificate(decoded(blocks.group(2))));
            }
        }
        if (certificates.isEmpty()) {
            throw new IllegalArgumentException("contains no PEM certificate (-----BEGIN CERTIFICATE-----)");
        }
        return certificates;
    }

    private static X509Certificate certificate(byte[] der) {
        try {
            return (X509Certificate)
                    CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(der));
        } catch (GeneralSecurityException e) {
            throw new IllegalArgumentException("contains an invalid certificate", e);
        }
    }

    /**
     * Returns the first private key in a string. The string may also contain certificates, as the kubelet's client
     * certificate file does.
     */
    static PrivateKey privateKey(String text) {
        Matcher blocks = blocks(text);
        while (blocks.find()) {
            String type = blocks.group(1);
            String content = blocks.group(2);
            if (type.equals("ENCRYPTED PRIVATE KEY") || content.contains("ENCRYPTED")) {
                throw new IllegalArgumentException("contains an encrypted private key; use one without a passphrase");
            }
            if (type.endsWith("PRIVATE KEY")) {
                return key(type, decoded(content));
            }
        }
        throw new IllegalArgumentException("contains no PEM private key (-----BEGIN PRIVATE KEY-----)");
    }

    private static PrivateKey key(String type, byte[] der) {
        return switch (type) {
            case "PRIVATE KEY" -> pkcs8(der, "RSA", "EC", "EdDSA");
            case "RSA PRIVATE KEY" -> pkcs8(der(SEQUENCE, VERSION_0, RSA, der(OCTET_STRING, der)), "RSA");
            case "EC PRIVATE KEY" -> {
                byte[] algorithm = der(SEQUENCE, EC_PUBLIC_KEY, curve(der));
                yield pkcs8(der(SEQUENCE, VERSION_0, algorithm, der(OCTET_STRING, der)), "EC");
            }
            default -> throw unreadable(null);
        };
    }

    private static PrivateKey pkcs8(byte[] key, String... algorithms) {
        InvalidKeySpecException reason = null;
        for (String algorithm : algorithms) {
            try {
                return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(key));
            } catch (InvalidKeySpecException e) {
                // Try the next algorithm.
                reason = e;
            } catch (GeneralSecurityException e) {
                throw new IllegalStateException(e);
            }
        }
        throw unreadable(reason);
    }

    private static IllegalArgumentException unreadable(@Nullable Exception reason) {
        return new IllegalArgumentException(
                "contains an invalid or unsupported private key; must be an RSA, EC or Ed25519 key", reason);
    }

    private static Matcher blocks(String text) {
        return BLOCK.matcher(text);
    }

    private static byte[] decoded(String base64) {
        try {
            return Base64.getDecoder().decode(base64.replaceAll("\\s", ""));
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("contains a PEM block that is not valid base64", e);
        }
    }

    /** Returns the curve of a SEC 1 key: the content of element [0], which follows version and key. */
    private static byte[] curve(byte[] key) {
        try {
            int at = content(key, 0);
            at = end(key, at);
            at = end(key, at);
            if ((key[at] & 0xFF) == PARAMETERS) {
                return Arrays.copyOfRange(key, content(key, at), end(key, at));
            }
        } catch (ArrayIndexOutOfBoundsException e) {
            throw new IllegalArgumentException("contains a truncated EC key", e);
        }
        throw new IllegalArgumentException("contains an EC key without a named curve");
    }

    /** Returns the offset at which the content of a DER element starts. */
    private static int content(byte[] der, int at) {
        int length = der[at + 1] & 0xFF;
        return at + 2 + (length < 0x80 ? 0 : length - 0x80);
    }

    /** Returns the offset just past the end of a DER element. */
    private static int end(byte[] der, int at) {
        int length = der[at + 1] & 0xFF;
        int content = content(der, at);
        if (length >= 0x80) {
            length = 0;
            for (int i = at + 2; i < content; i++) {
                length = (length << 8) | (der[i] & 0xFF);
            }
        }
        return content + length;
    }

    private static byte[] der(int tag, byte[]... parts) {
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            content.writeBytes(part);
        }
        ByteArrayOutputStream element = new ByteArrayOutputStream();
        element.write(tag);
        int length = content.size();
        // DER requires the shortest form of the length.
        if (length >= 0x100) {
            element.write(0x82);
            element.write(length >> 8);
        } else if (length >= 0x80) {
            element.write(0x81);
        }
        element.write(length);
        element.writeBytes(content.toByteArray());
        return element.toByteArray();
    }

    /** A client or server certificate and its private key, in PEM. */
    record Identity(String certificate, String key) {}
}

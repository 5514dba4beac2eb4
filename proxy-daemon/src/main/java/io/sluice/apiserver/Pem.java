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
 * Certificates and private keys as text.
 *
 * <p>The JDK reads keys in PKCS#8 only; OpenSSL's older forms for RSA (PKCS#1) and elliptic curves (SEC 1), which
 * kubeadm writes, are wrapped into it. All problems are told as an {@link IllegalArgumentException} whose message says
 * what is wrong with the text and never quotes it.
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

    /** All certificates in the text, at least one; what else is in it does not matter. */
    static List<X509Certificate> certificates(String text) {
        List<X509Certificate> certificates = new ArrayList<>();
        Matcher blocks = blocks(text);
        while (blocks.find()) {
            if (blocks.group(1).equals("CERTIFICATE")) {
                certificates.add(certificate(decoded(blocks.group(2))));
            }
        }
        if (certificates.isEmpty()) {
            throw new IllegalArgumentException("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)");
        }
        return certificates;
    }

    private static X509Certificate certificate(byte[] der) {
        try {
            return (X509Certificate)
                    CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(der));
        } catch (GeneralSecurityException e) {
            throw new IllegalArgumentException("holds a certificate that cannot be read", e);
        }
    }

    /** The first private key in the text, which may hold certificates too, as the kubelet's does. */
    static PrivateKey privateKey(String text) {
        Matcher blocks = blocks(text);
        while (blocks.find()) {
            String type = blocks.group(1);
            String content = blocks.group(2);
            if (type.equals("ENCRYPTED PRIVATE KEY") || content.contains("ENCRYPTED")) {
                throw new IllegalArgumentException("holds an encrypted key; give one without a passphrase");
            }
            if (type.endsWith("PRIVATE KEY")) {
                return key(type, decoded(content));
            }
        }
        throw new IllegalArgumentException("holds no private key in PEM (-----BEGIN PRIVATE KEY-----)");
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
                // Of another kind, perhaps; the last one says that it is of none.
                reason = e;
            } catch (GeneralSecurityException e) {
                throw new IllegalStateException(e);
            }
        }
        throw unreadable(reason);
    }

    private static IllegalArgumentException unreadable(@Nullable Exception reason) {
        return new IllegalArgumentException(
                "holds a private key that cannot be read; RSA, elliptic curve and Ed25519 keys can", reason);
    }

    private static Matcher blocks(String text) {
        return BLOCK.matcher(text);
    }

    private static byte[] decoded(String base64) {
        try {
            return Base64.getDecoder().decode(base64.replaceAll("\\s", ""));
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("holds a PEM block that is not base64", e);
        }
    }

    /** The curve that a SEC 1 key says it is on: the content of its [0], behind version and key. */
    private static byte[] curve(byte[] key) {
        try {
            int at = content(key, 0);
            at = end(key, at);
            at = end(key, at);
            if ((key[at] & 0xFF) == PARAMETERS) {
                return Arrays.copyOfRange(key, content(key, at), end(key, at));
            }
        } catch (ArrayIndexOutOfBoundsException e) {
            throw new IllegalArgumentException("holds an elliptic curve key that is cut off", e);
        }
        throw new IllegalArgumentException("holds an elliptic curve key that does not name its curve");
    }

    /** Where the content of the element at this place begins. */
    private static int content(byte[] der, int at) {
        int length = der[at + 1] & 0xFF;
        return at + 2 + (length < 0x80 ? 0 : length - 0x80);
    }

    /** Where the next element begins. */
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
        // As short as can be: the JDK's reader takes nothing else.
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

    /** A certificate with its key, as text. */
    record Identity(String certificate, String key) {}
}

package io.sluice.proxyprotocol;

import org.jspecify.annotations.Nullable;

/**
 * The outcome of decoding a whole header.
 *
 * @param addresses null if the header is malformed, or valid without addresses
 */
record DecodedHeader(boolean isValid, @Nullable ProxiedAddresses addresses) {
    static final DecodedHeader MALFORMED = new DecodedHeader(false, null);
    static final DecodedHeader WITHOUT_ADDRESSES = new DecodedHeader(true, null);

    static DecodedHeader of(ProxiedAddresses addresses) {
        return new DecodedHeader(true, addresses);
    }
}

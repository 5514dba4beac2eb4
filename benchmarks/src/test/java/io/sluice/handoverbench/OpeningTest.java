package io.sluice.handoverbench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.buffer.UnpooledByteBufAllocator;
import io.sluice.handoverbench.Opening.Kind;
import java.io.IOException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class OpeningTest {
    @ParameterizedTest
    @EnumSource(Kind.class)
    void decodesWhatItEncodes(Kind kind) throws IOException {
        Opening opening = new Opening(kind, 10_000_000_123L, Opening.UNLIMITED);
        ByteBuf bytes = opening.encode(UnpooledByteBufAllocator.DEFAULT);
        try {
            assertThat(bytes.readableBytes()).isEqualTo(Opening.BYTES);
            assertThat(Opening.decode(bytes)).isEqualTo(opening);
        } finally {
            bytes.release();
        }
    }

    @Test
    void rejectsOtherBytes() {
        assertThatThrownBy(() -> Opening.decode(Unpooled.wrappedBuffer(new byte[Opening.BYTES])))
                .isInstanceOf(IOException.class)
                .hasMessage("first bytes of a connection are wrong: 00000000");
    }
}

package io.sluice.handoverbench;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import org.junit.jupiter.api.Test;

class ByteStreamTest {
    private static final long CONNECTION = 4_711;

    private final ByteStream sender = ByteStream.fromClient(CONNECTION);
    private final ByteStream receiver = ByteStream.fromClient(CONNECTION);

    private ByteBuf sent(int bytes) {
        return Unpooled.copiedBuffer(sender.next(bytes));
    }

    @Test
    void matchesTheSameStreamInPiecesOfAnySize() {
        ByteBuf all = Unpooled.buffer();
        for (int length : new int[] {1, 1_000, 65_536, 7, 40_000}) {
            all.writeBytes(sender.next(length));
        }
        int total = all.readableBytes();
        while (all.isReadable()) {
            int length = Math.min(all.readableBytes(), 3_001);
            assertThat(receiver.match(all.readSlice(length))).isEqualTo(length);
        }
        assertThat(receiver.position()).isEqualTo(total).isEqualTo(sender.position());
    }

    @Test
    void continuesAfterTheEndOfTheTable() {
        for (int i = 0; i < 40; i++) {
            assertThat(receiver.match(sent(ByteStream.MAX_SLICE_BYTES))).isEqualTo(ByteStream.MAX_SLICE_BYTES);
        }
    }

    @Test
    void matchesMoreThanOneSliceAtOnce() {
        ByteBuf all = Unpooled.buffer();
        for (int i = 0; i < 3; i++) {
            all.writeBytes(sender.next(50_000));
        }
        assertThat(receiver.match(all)).isEqualTo(150_000);
    }

    @Test
    void reportsThePositionOfAChangedByte() {
        assertThat(receiver.match(sent(500))).isEqualTo(500);
        ByteBuf changed = sent(1_000);
        changed.setByte(123, changed.getByte(123) ^ 1);
        assertThat(receiver.match(changed)).isEqualTo(123);
        assertThat(receiver.position()).isEqualTo(623);
    }

    @Test
    void detectsLostBytes() {
        assertThat(receiver.match(sent(500))).isEqualTo(500);
        sender.next(1);
        assertThat(receiver.match(sent(1_000))).isLessThan(20);
    }

    @Test
    void detectsRepeatedBytes() {
        ByteBuf block = sent(500);
        assertThat(receiver.match(block.duplicate())).isEqualTo(500);
        assertThat(receiver.match(block)).isLessThan(20);
    }

    @Test
    void detectsBytesOfAnotherConnectionAndOfTheOtherDirection() {
        assertThat(receiver.match(Unpooled.copiedBuffer(
                        ByteStream.fromClient(CONNECTION + 1).next(1_000))))
                .isLessThan(20);
        assertThat(ByteStream.fromClient(CONNECTION)
                        .match(Unpooled.copiedBuffer(
                                ByteStream.fromEndpoint(CONNECTION).next(1_000))))
                .isLessThan(20);
    }
}

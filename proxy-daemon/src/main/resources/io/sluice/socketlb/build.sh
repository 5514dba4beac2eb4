#!/bin/sh
# Compiles socketlb.bpf.c. Prints nothing on success.
#
# Debian 12's clang 14, libbpf-dev and linux-libc-dev give exactly the committed socketlb.bpf.o; a test checks this.
# usage: build.sh OUTPUT
set -eu
output=${1:?usage: build.sh OUTPUT}
cd "$(dirname "$0")"
# Some distributions keep asm/types.h in a directory per architecture.
clang -O2 -g -target bpf -mcpu=v3 -Wall -Werror -ffile-prefix-map="$PWD=." -I"/usr/include/$(uname -m)-linux-gnu" -c socketlb.bpf.c -o "$output"
# Keeps the BTF, which describes the maps, but not the debugging information, which contains the path of the source.
llvm-strip -g "$output"

// SPDX-License-Identifier: GPL-2.0-only
/* The assembler files need no offsets: they get what they use in registers. */
#include <linux/kbuild.h>

int main(void)
{
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's log goes to the host; so does what is written to /dev/console. */
#include <linux/cdev.h>
#include <linux/console.h>
#include <linux/ctype.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kern_levels.h>
#include <linux/major.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "kernel.h"

/* Each line starts with <level>; the host gets it as a number instead. */
static void host_write(struct console *con, const char *text, unsigned int bytes)
{
	const char *end = text + bytes;

	while (text < end) {
		const char *newline = memchr(text, '\n', end - text);
		const char *next = newline ? newline + 1 : end;
		unsigned int level = LOGLEVEL_INFO;

		if (*text == '<') {
			for (level = 0, text++; text < next && isdigit(*text); text++)
				level = level * 10 + *text - '0';
			level &= 7;
			if (text < next)
				text++;
		}
		ll_log(text, next - text, level);
		text = next;
	}
}

static struct console host_console = {
	.name = "host",
	.write = host_write,
	.flags = CON_PRINTBUFFER | CON_ANYTIME | CON_ENABLED,
	.index = -1,
};

static int __init host_console_init(void)
{
	register_console(&host_console);
	return 0;
}
console_initcall(host_console_init);

#ifndef CONFIG_TTY
static ssize_t dev_write(struct file *file, const char __user *buffer, size_t bytes, loff_t *pos)
{
	char part[128];
	size_t done = 0;

	while (done < bytes) {
		size_t n = min(bytes - done, sizeof(part));

		if (copy_from_user(part, buffer + done, n))
			return done ?: -EFAULT;
		ll_log(part, n, LOGLEVEL_INFO);
		done += n;
	}
	return done;
}

static ssize_t dev_read(struct file *file, char __user *buffer, size_t bytes, loff_t *pos)
{
	return 0;
}

static const struct file_operations dev_console = {
	.write = dev_write,
	.read = dev_read,
	.llseek = noop_llseek,
};

static int __init dev_console_init(void)
{
	/* Minor 1 of the tty major is /dev/console, which init opens. */
	return __register_chrdev(TTYAUX_MAJOR, 1, 1, "console", &dev_console);
}
device_initcall(dev_console_init);
#endif

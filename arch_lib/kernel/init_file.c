// SPDX-License-Identifier: GPL-2.0-only
/*
 * Process 1.  The kernel executes /init, so there is such a file; a binary format
 * of our own accepts it, and the process then belongs to the host.  Other
 * programs cannot be executed: theirs is the host's business.
 */
#include <linux/binfmts.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/init_syscalls.h>
#include <linux/mount.h>
#include <linux/sched/signal.h>
#include <linux/stat.h>
#include <linux/string.h>
#include <linux/task_work.h>

static const char magic[] = "liblinux: process 1 belongs to the host\n";

static int load_init(struct linux_binprm *bprm)
{
	int err;

	if (memcmp(bprm->buf, magic, sizeof(magic) - 1))
		return -ENOEXEC;
	err = begin_new_exec(bprm);
	if (err)
		return err;
	setup_new_exec(bprm);
	finalize_exec(bprm);
	/* Children that end need nobody who waits for them. */
	kernel_sigaction(SIGCHLD, SIG_IGN);
	return 0;
}

static struct linux_binfmt init_format = {
	.load_binary = load_init,
};

static void __init mount_at(const char *type, const char *dir)
{
	int err;

	init_mkdir(dir, 0755);
	err = init_mount((char *)type, (char *)dir, (char *)type, 0, NULL);
	/* A profile may leave a file system out, and so its place in sysfs. */
	if (err && err != -ENODEV && err != -ENOENT)
		pr_warn("liblinux: cannot mount %s at %s: %d\n", type, dir, err);
}

static int __init make_init(void)
{
	struct file *file;
	loff_t pos = 0;

	register_binfmt(&init_format);
	file = filp_open("/init", O_WRONLY | O_CREAT, 0755);
	if (IS_ERR(file))
		return PTR_ERR(file);
	kernel_write(file, magic, sizeof(magic) - 1, &pos);
	fput(file);
	/* It closes at last when task work runs; else exec finds it open for writing. */
	task_work_run();
	return 0;
}
/* After default_rootfs(), which runs in the same level and is linked first. */
device_initcall_sync(make_init);

static int __init make_mounts(void)
{
	static const char *const dirs[] = { "/tmp", "/run", "/var", "/etc", "/mnt" };
	int i;

	mount_at("proc", "/proc");
	mount_at("sysfs", "/sys");
	mount_at("debugfs", "/sys/kernel/debug");
	mount_at("bpf", "/sys/fs/bpf");
	mount_at("cgroup2", "/sys/fs/cgroup");
	for (i = 0; i < ARRAY_SIZE(dirs); i++)
		init_mkdir(dirs[i], 0755);
	init_chmod("/tmp", 01777);
	init_mknod("/dev/null", S_IFCHR | 0666, new_encode_dev(MKDEV(1, 3)));
	init_mknod("/dev/zero", S_IFCHR | 0666, new_encode_dev(MKDEV(1, 5)));
	init_mknod("/dev/random", S_IFCHR | 0666, new_encode_dev(MKDEV(1, 8)));
	init_mknod("/dev/urandom", S_IFCHR | 0666, new_encode_dev(MKDEV(1, 9)));
	init_mknod("/dev/kmsg", S_IFCHR | 0644, new_encode_dev(MKDEV(1, 11)));
	init_mkdir("/dev/net", 0755);
	init_mknod("/dev/net/tun", S_IFCHR | 0666, new_encode_dev(MKDEV(10, 200)));
	return 0;
}
late_initcall(make_mounts);

// SPDX-License-Identifier: GPL-2.0-only
/* The environment of DPDK: initialised once in a process, with its log kept. */
#include <errno.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dpdk.h"
#include "error.h"

#define MAX_ARGUMENTS 64
#define WORDS_BYTES   400
/* MiB of memory where there are no huge pages; touched as it is used. */
#define PLAIN_MEMORY "256"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int owner_pid; /* whose EAL is initialised */
static bool tried;
static FILE *stream;

/* --- Its log --- */

static char words[WORDS_BYTES];
static size_t words_used;

/* The newest counts: what does not fit pushes out what came first. */
static ssize_t take_words(void *unused, const char *text, size_t bytes)
{
	size_t all = bytes;

	if (bytes > sizeof(words) - 1) {
		text += bytes - (sizeof(words) - 1);
		bytes = sizeof(words) - 1;
	}
	if (words_used + bytes > sizeof(words) - 1) {
		size_t gone = words_used + bytes - (sizeof(words) - 1);

		memmove(words, words + gone, words_used - gone);
		words_used -= gone;
	}
	memcpy(words + words_used, text, bytes);
	words_used += bytes;
	words[words_used] = 0;
	return (ssize_t)all;
}

const char *eal_words(void)
{
	while (words_used && words[words_used - 1] == '\n')
		words[--words_used] = 0;
	for (size_t i = 0; i < words_used; i++)
		if (words[i] == '\n')
			words[i] = ' ';
	return words;
}

void eal_lock(void)
{
	pthread_mutex_lock(&mutex);
	words_used = 0;
	words[0] = 0;
}

void eal_unlock(void)
{
	pthread_mutex_unlock(&mutex);
}

/* --- Starting --- */

static bool huge_pages_free(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long pages = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "HugePages_Free: %lu", &pages) == 1)
			break;
	if (file)
		fclose(file);
	return pages != 0;
}

/* DPDK moves the thread to one processor and its own threads take any signal. */
static int init_untouched(int argc, char **argv)
{
	sigset_t all, before;
	cpu_set_t processors;
	bool known = !sched_getaffinity(0, sizeof(processors), &processors);
	int result;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	result = rte_eal_init(argc, argv);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (known)
		sched_setaffinity(0, sizeof(processors), &processors);
	return result;
}

/*
 * Where DPDK maps its memory: by default from 4 GiB on, in the middle of the shadow
 * memory that a kernel with KASAN needs (ll_image.shadow_offset).
 */
#define BASE_ADDRESS "--base-virtaddr=0x600000000000"

static int start_with_address(int argc, char **argv)
{
	char *all[MAX_ARGUMENTS + 3];
	int count = 0;

	all[count++] = argv[0];
	all[count++] = (char *)BASE_ADDRESS; /* a later one counts */
	for (int i = 1; i < argc; i++)
		all[count++] = argv[i];
	all[count] = NULL;
	return init_untouched(count, all);
}

static int start(int argc, char **argv)
{
	const cookie_io_functions_t functions = { .write = take_words };

	if (tried && owner_pid != getpid()) {
		plh_set_error("This process was forked from one that has initialised DPDK, which "
			      "does not survive that: start a new process, or initialise after "
			      "fork().");
		return -EPERM;
	}
	if (tried) {
		plh_set_error("DPDK is initialised once in a process, and that has been tried: "
			      "give the arguments before the first device.");
		return -EALREADY;
	}
	if (!stream)
		stream = fopencookie(NULL, "w", functions);
	if (stream)
		rte_openlog_stream(stream);
	tried = true;
	owner_pid = getpid();
	if (start_with_address(argc, argv) >= 0)
		return 0;
	owner_pid = 0;
	plh_set_error("DPDK cannot be initialised (%s): %s", rte_strerror(rte_errno), eal_words());
	return -EIO;
}

int eal_initialised(void)
{
	return owner_pid == getpid();
}

int eal_start(const char *devargs)
{
	bool virtual = !strncmp(devargs, "net_", 4) || !strncmp(devargs, "eth_", 4);
	char processor[16], *argv[16];
	cpu_set_t set;
	int argc = 0, first = 0;

	if (eal_initialised())
		return 0;
	/* One processor, or DPDK starts a thread on each. */
	if (!sched_getaffinity(0, sizeof(set), &set))
		while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &set))
			first++;
	snprintf(processor, sizeof(processor), "%d", first);
	argv[argc++] = (char *)"pylibos";
	argv[argc++] = (char *)"-l";
	argv[argc++] = processor;
	argv[argc++] = (char *)"--no-telemetry";
	argv[argc++] = (char *)"--log-level=notice";
	if (huge_pages_free()) {
		argv[argc++] = (char *)"--in-memory";
	} else {
		argv[argc++] = (char *)"--no-huge";
		argv[argc++] = (char *)"--no-shconf";
		argv[argc++] = (char *)"-m";
		argv[argc++] = (char *)PLAIN_MEMORY;
	}
	/* Other cards of the machine are left alone. */
	argv[argc++] = virtual ? (char *)"--no-pci" : (char *)"-a";
	if (!virtual)
		argv[argc++] = (char *)devargs;
	argv[argc] = NULL;
	return start(argc, argv);
}

int eal_init(const char *arguments, uint32_t count)
{
	char *argv[MAX_ARGUMENTS + 2] = { (char *)"pylibos" };
	int result;

	if (count > MAX_ARGUMENTS) {
		plh_set_error("DPDK is given at most %d arguments here, not %u.", MAX_ARGUMENTS,
			      count);
		return PLH_ERROR;
	}
	for (uint32_t i = 0; i < count; i++, arguments += strlen(arguments) + 1)
		argv[1 + i] = (char *)arguments;
	eal_lock();
	result = start((int)count + 1, argv);
	eal_unlock();
	return result ? PLH_ERROR : PLH_OK;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * One call of a program: from the notification to the answer.  A signal may take the
 * program away at any time.  Then the answer finds nobody; if the program makes the
 * very same call again, as one does that is restarted, it gets that answer, or the
 * call that is still in flight.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nuse.h"

/* As many a signal handler may make before the call that it interrupted is made again. */
#define HANDLER_CALLS 16

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND 2
#endif

static bool same_call(const struct seccomp_data *one, const struct seccomp_data *other)
{
	return !memcmp(one, other, sizeof(*one));
}

static void forget(struct nuse_thread *thread, const struct request *request)
{
	if (thread->request == request)
		thread->request = NULL;
	if (thread->parked == request)
		thread->parked = NULL;
}

void request_hold(struct request *request, struct object *object)
{
	request->object = object;
	if (object)
		object->holders++;
}

static void request_free(struct plh_nuse *nuse, struct request *request)
{
	if (request->cleanup)
		request->cleanup(nuse, request);
	if (request->object)
		object_release(nuse, request->object);
	if (request->thread)
		forget(request->thread, request);
	if (!request->abandoned)
		nuse->stats.blocked--;
	free(request->state);
	free(request);
}

/* --- Calls of the stack --- */

static void call_with(struct plh_nuse *nuse, struct request *request, struct worker *worker,
		      uint64_t nr, const uint64_t args[6],
		      void (*done)(struct plh_nuse *nuse, struct request *request, int64_t ret))
{
	int64_t ret = -EIO;
	int status;

	if (!worker) {
		done(nuse, request, -errno);
		return;
	}
	worker->request = request;
	request->worker = worker;
	request->done = done;
	status = plh_submit(nuse->kernel, worker->task, nr, args, &ret);
	if (status == PLH_PENDING)
		return;
	request_ended(nuse, worker, status == PLH_OK ? ret : -EIO);
}

void request_call(struct plh_nuse *nuse, struct request *request, uint64_t nr,
		  const uint64_t args[6],
		  void (*done)(struct plh_nuse *nuse, struct request *request, int64_t ret))
{
	call_with(nuse, request, worker_of(nuse, request->thread->program), nr, args, done);
}

void request_call_local(struct plh_nuse *nuse, struct request *request, uint64_t nr,
			const uint64_t args[6],
			void (*done)(struct plh_nuse *nuse, struct request *request, int64_t ret))
{
	call_with(nuse, request, worker_local(nuse), nr, args, done);
}

void request_ended(struct plh_nuse *nuse, struct worker *worker, int64_t ret)
{
	struct request *request = worker->request;

	worker_put(nuse, worker);
	if (!request)
		return;
	request->worker = NULL;
	if (request->abandoned)
		request_free(nuse, request);
	else
		request->done(nuse, request, ret);
}

void request_stop(struct plh_nuse *nuse, struct request *request)
{
	struct worker *worker = request->worker;
	int64_t ret;

	/* It ends soon, with EINTR or with what it has got. */
	worker->request = NULL;
	request->worker = NULL;
	if (plh_interrupt(nuse->kernel, worker->task, &ret) != PLH_PENDING)
		worker_put(nuse, worker);
}

void request_abandon(struct plh_nuse *nuse, struct request *request)
{
	nuse->stats.blocked--;
	request->abandoned = true;
	forget(request->thread, request);
	if (request->worker)
		request_stop(nuse, request);
	request->thread = NULL;
	request_free(nuse, request);
}

/* --- Answers --- */

bool request_valid(struct plh_nuse *nuse, const struct request *request)
{
	uint64_t id = request->id;

	(void)nuse;
	return request->listener->watch.fd >= 0 &&
	       !ioctl(request->listener->watch.fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id);
}

static int send_answer(const struct request *request, int64_t ret, uint32_t flags)
{
	struct seccomp_notif_resp answer = { .id = request->id, .flags = flags };

	/* val and error are what the program's registers get; 0 and -errno. */
	if (!(flags & SECCOMP_USER_NOTIF_FLAG_CONTINUE)) {
		if (ret < 0 && ret >= -4095)
			answer.error = (int32_t)ret;
		else
			answer.val = ret;
	}
	if (!ioctl(request->listener->watch.fd, SECCOMP_IOCTL_NOTIF_SEND, &answer))
		return 0;
	return -errno;
}

void request_answer(struct plh_nuse *nuse, struct request *request, int64_t ret)
{
	struct nuse_thread *thread = request->thread;

	trace_answer(nuse, request, "stack", ret);
	if (send_answer(request, ret, 0)) {
		nuse->stats.undelivered++;
		thread->unheard = request->data;
		thread->unheard_ret = ret;
		thread->unheard_calls = 0;
		thread->has_unheard = true;
	}
	request_free(nuse, request);
}

bool request_answer_once(struct plh_nuse *nuse, struct request *request, int64_t ret)
{
	bool heard;

	trace_answer(nuse, request, "stack", ret);
	heard = !send_answer(request, ret, 0);
	if (!heard)
		nuse->stats.undelivered++;
	request_free(nuse, request);
	return heard;
}

void request_pass(struct plh_nuse *nuse, struct request *request)
{
	nuse->stats.passed++;
	trace_answer(nuse, request, "host", 0);
	send_answer(request, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
	request_free(nuse, request);
}

void request_refuse(struct plh_nuse *nuse, struct request *request, int error, const char *why)
{
	nuse->stats.refused++;
	log_refused(nuse, request, why);
	trace_answer(nuse, request, "refused", error);
	send_answer(request, error, 0);
	request_free(nuse, request);
}

int request_answer_fd(struct plh_nuse *nuse, struct request *request, int fd, bool cloexec)
{
	struct seccomp_notif_addfd addfd = {
		.id = request->id,
		.flags = SECCOMP_ADDFD_FLAG_SEND,
		.srcfd = (uint32_t)fd,
		.newfd_flags = cloexec ? O_CLOEXEC : 0,
	};
	int number = ioctl(request->listener->watch.fd, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd);
	int error = number < 0 ? -errno : 0;

	close(fd);
	if (!error) {
		trace_answer(nuse, request, "stack", number);
		request_free(nuse, request);
		return 0;
	}
	/* EMFILE and the like are the program's own limits. */
	if (error == -ENOENT || error == -EINPROGRESS)
		request_free(nuse, request);
	else
		request_answer(nuse, request, error);
	return error;
}

void request_answer_object(struct plh_nuse *nuse, struct request *request, struct object *object,
			   bool cloexec)
{
	int fd = object->spare;

	object->spare = -1;
	/* If nobody took it, its other end hangs up. */
	request_answer_fd(nuse, request, fd, cloexec);
}

/* --- Notifications --- */

static void answer_unknown(const struct listener *listener, const struct seccomp_notif *notif,
			   int error)
{
	struct seccomp_notif_resp answer = { .id = notif->id, .error = error };

	ioctl(listener->watch.fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

/* The call in flight goes on for this notification, if it is the same. */
static bool resume(struct nuse_thread *thread, struct request *request, struct listener *listener,
		   const struct seccomp_notif *notif)
{
	if (!request || !same_call(&request->data, &notif->data))
		return false;
	request->listener = listener;
	request->id = notif->id;
	if (thread->parked == request)
		thread->parked = NULL;
	thread->request = request;
	return true;
}

/* The thread makes a call while its last one is in flight: a signal came between. */
static bool go_on_with(struct plh_nuse *nuse, struct nuse_thread *thread, struct listener *listener,
		       const struct seccomp_notif *notif)
{
	struct request *request = thread->request;
	bool same = request && same_call(&request->data, &notif->data);

	if (request && request->eintr) {
		request_abandon(nuse, request);
		if (same)
			answer_unknown(listener, notif, -EINTR);
		return same;
	}
	if (resume(thread, request, listener, notif))
		return true;
	if (request && request->keeps && !thread->parked) {
		thread->parked = request;
		thread->request = NULL;
		thread->parked_calls = 0;
		return false;
	}
	if (request)
		request_abandon(nuse, request);
	if (resume(thread, thread->parked, listener, notif))
		return true;
	/* It has given up what it had begun. */
	if (thread->parked && ++thread->parked_calls > HANDLER_CALLS)
		request_abandon(nuse, thread->parked);
	return false;
}

/* A result that the thread has not heard is that of the same call, made again. */
static bool hears(struct plh_nuse *nuse, struct nuse_thread *thread, struct request *request)
{
	if (!thread->has_unheard)
		return false;
	if (same_call(&thread->unheard, &request->data)) {
		thread->has_unheard = false;
		request_answer(nuse, request, thread->unheard_ret);
		return true;
	}
	thread->has_unheard = ++thread->unheard_calls <= HANDLER_CALLS;
	return false;
}

void serve_notification(struct plh_nuse *nuse, struct listener *listener,
			const struct seccomp_notif *notif)
{
	struct nuse_thread *thread = thread_of(nuse, (pid_t)notif->pid);
	const struct nuse_call *call;
	struct request *request;

	nuse->stats.calls++;
	if (!thread) {
		answer_unknown(listener, notif, -ENOMEM);
		return;
	}
	if (go_on_with(nuse, thread, listener, notif))
		return;
	request = calloc(1, sizeof(*request));
	if (!request) {
		answer_unknown(listener, notif, -ENOMEM);
		return;
	}
	nuse->stats.blocked++;
	request->listener = listener;
	request->thread = thread;
	request->data = notif->data;
	request->id = notif->id;
	request->deadline_ns = LL_NEVER;
	memcpy(request->args, notif->data.args, sizeof(request->args));
	thread->request = request;
	if (hears(nuse, thread, request))
		return;
	call = call_of(&notif->data);
	call->serve(nuse, request);
}

/*
 * The guest of the device's tests: PID 1 with a few servers over AF_VSOCK. Built static by the
 * tests; it has nothing else beside it.
 *
 * The stream that both sides know is made of 64-bit little-endian words, word i being
 * i * 0x9E3779B97F4A7C15.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define CHUNK (256 * 1024)

static int vsock(unsigned cid, unsigned port, struct sockaddr_vm *address)
{
	memset(address, 0, sizeof *address);
	address->svm_family = AF_VSOCK;
	address->svm_cid = cid;
	address->svm_port = port;
	return socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int write_all(int fd, const void *data, size_t len)
{
	const char *at = data;
	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
		if (n <= 0)
			return -1;
		at += n;
		len -= n;
	}
	return 0;
}

static int read_all(int fd, void *data, size_t len)
{
	char *at = data;
	while (len > 0) {
		ssize_t n = read(fd, at, len);
		if (n <= 0)
			return -1;
		at += n;
		len -= n;
	}
	return 0;
}

static int send_stream(int fd, uint64_t bytes)
{
	uint64_t *words = malloc(CHUNK), word = 0;
	int result = 0;
	while (bytes > 0 && result == 0) {
		uint64_t count = bytes < CHUNK ? bytes : CHUNK;
		for (uint64_t i = 0; i < (count + 7) / 8; i++)
			words[i] = word++ * 0x9E3779B97F4A7C15u;
		result = write_all(fd, words, count);
		bytes -= count;
	}
	free(words);
	return result;
}

/* Reads to the end; gives how many bytes came, and in *wrong how many of them were wrong. */
static uint64_t take_stream(int fd, uint64_t *wrong)
{
	uint8_t *data = malloc(CHUNK);
	uint64_t total = 0;
	*wrong = 0;
	for (;;) {
		/* Whole words but at the end, so that they can be compared as such. */
		size_t have = 0;
		ssize_t n = 1;
		while (have < CHUNK && (n = read(fd, data + have, CHUNK - have)) > 0)
			have += n;
		for (size_t i = 0; i < have; i += 8) {
			uint64_t word = ((total + i) / 8) * 0x9E3779B97F4A7C15u;
			*wrong += memcmp(data + i, &word, have - i < 8 ? have - i : 8) != 0;
		}
		total += have;
		if (n <= 0)
			break;
	}
	free(data);
	return total;
}

/* Sends back what comes, and ends when the peer does. */
static void echo(int fd)
{
	char data[4096];
	ssize_t n;
	while ((n = read(fd, data, sizeof data)) > 0)
		if (write_all(fd, data, n) < 0)
			return;
}

/* Reads the stream to its end, and only then says what it was. */
static void sink(int fd)
{
	uint64_t wrong, total = take_stream(fd, &wrong);
	char answer[64];
	int n = snprintf(answer, sizeof answer, "%llu bytes, %llu wrong\n",
			 (unsigned long long)total, (unsigned long long)wrong);
	write_all(fd, answer, n);
}

/* Reads a count, and sends that much of the stream. */
static void source(int fd)
{
	uint64_t bytes;
	if (read_all(fd, &bytes, sizeof bytes) == 0)
		send_stream(fd, bytes);
}

/* Reads a count, sends that much of the stream, ends its direction, and then reads the rest. */
static void source_first(int fd)
{
	uint64_t bytes;
	if (read_all(fd, &bytes, sizeof bytes) < 0 || send_stream(fd, bytes) < 0)
		return;
	shutdown(fd, SHUT_WR);
	uint64_t wrong, total = take_stream(fd, &wrong);
	printf("after its end: %llu bytes, %llu wrong\n", (unsigned long long)total,
	       (unsigned long long)wrong);
	fflush(stdout);
}

/* As sink and source, without looking at the bytes. */
static void discard(int fd)
{
	char *data = malloc(CHUNK);
	while (read(fd, data, CHUNK) > 0)
		;
	free(data);
	write_all(fd, "done\n", 5);
}

static void zeros(int fd)
{
	uint64_t bytes;
	char *data = calloc(1, CHUNK);
	if (read_all(fd, &bytes, sizeof bytes) == 0)
		for (; bytes >= CHUNK && write_all(fd, data, CHUNK) == 0; bytes -= CHUNK)
			;
	free(data);
}

/* Takes no more bytes from the start, and says "deaf". */
static void deaf(int fd)
{
	char byte;
	shutdown(fd, SHUT_RD);
	write_all(fd, "deaf\n", 5);
	read(fd, &byte, 1);
	sleep(1);
}

/* Connects to a port of the host, which is read first, and hands on what it answers. */
static void call_host(int fd)
{
	uint32_t port;
	struct sockaddr_vm address;
	if (read_all(fd, &port, sizeof port) < 0)
		return;
	int host = vsock(VMADDR_CID_HOST, port, &address);
	if (connect(host, (struct sockaddr *)&address, sizeof address) < 0) {
		const char *error = strerrorname_np(errno);
		write_all(fd, error, strlen(error));
	} else {
		char data[4096];
		ssize_t n;
		send_stream(host, 100000);
		shutdown(host, SHUT_WR);
		while ((n = read(host, data, sizeof data)) > 0)
			write_all(fd, data, n);
	}
	close(host);
}

/* Opens a count of connections to a port of the host, both read first, and says how many it got. */
static void flood_host(int fd)
{
	uint32_t port, count, got = 0;
	struct sockaddr_vm address;
	if (read_all(fd, &port, sizeof port) < 0 || read_all(fd, &count, sizeof count) < 0)
		return;
	for (uint32_t i = 0; i < count; i++) {
		int host = vsock(VMADDR_CID_HOST, port, &address);
		got += connect(host, (struct sockaddr *)&address, sizeof address) == 0;
	}
	write_all(fd, &got, sizeof got);
}

/* The monitor ends on it, told not to reboot. */
static void restart(int fd)
{
	reboot(RB_AUTOBOOT);
}

struct server {
	unsigned port;
	void (*serve)(int fd);
};

/* The tests take an answer of the last one for a sign that all are there. */
static const struct server servers[] = {
	{ 1001, sink },	   { 1002, source },	 { 1003, source_first }, { 1004, discard },
	{ 1005, zeros },   { 1006, deaf },	 { 1007, call_host },	 { 1008, flood_host },
	{ 1009, restart }, { 1000, echo },
};

/* A socket and what to do with it: a connection, or those that a listener accepts. */
struct client {
	int fd;
	void (*serve)(int fd);
};

static void *serve_one(void *argument)
{
	struct client client = *(struct client *)argument;
	free(argument);
	client.serve(client.fd);
	close(client.fd);
	return NULL;
}

static void *accept_all(void *argument)
{
	struct client *server = argument;
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 32 * 1024);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	for (;;) {
		struct client *client = malloc(sizeof *client);
		pthread_t thread;
		client->fd = accept(server->fd, NULL, NULL);
		client->serve = server->serve;
		if (client->fd < 0 ||
		    pthread_create(&thread, &small, serve_one, client) != 0) {
			perror("accept");
			close(client->fd);
			free(client);
		}
	}
}

int main(void)
{
	struct sockaddr_vm address;
	pthread_t thread;
	struct rlimit many = { 8192, 8192 };
	setrlimit(RLIMIT_NOFILE, &many);
	for (size_t i = 0; i < sizeof servers / sizeof *servers; i++) {
		struct client *server = malloc(sizeof *server);
		server->serve = servers[i].serve;
		server->fd = vsock(VMADDR_CID_ANY, servers[i].port, &address);
		if (bind(server->fd, (struct sockaddr *)&address, sizeof address) < 0 ||
		    listen(server->fd, 2048) < 0)
			perror("listen");
		pthread_create(&thread, NULL, accept_all, server);
	}
	printf("guest ready\n");
	fflush(stdout);
	pause();
}

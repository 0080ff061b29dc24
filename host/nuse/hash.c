// SPDX-License-Identifier: GPL-2.0-only
/* Tables of what is found by a number. */
#include <errno.h>
#include <stdlib.h>

#include "nuse.h"

#define FIRST_SIZE 64

int table_init(struct table *table)
{
	table->size = FIRST_SIZE;
	table->used = 0;
	table->heads = calloc(table->size, sizeof(*table->heads));
	return table->heads ? 0 : -ENOMEM;
}

void table_free(struct table *table)
{
	free(table->heads);
	table->heads = NULL;
}

static struct node **head_of(const struct table *table, uint64_t key)
{
	/* Fibonacci hashing: inodes and process ids come in sequences. */
	return &table->heads[(key * 0x9e3779b97f4a7c15ull >> 32) & (table->size - 1)];
}

struct node *table_find(const struct table *table, uint64_t key)
{
	struct node *node = *head_of(table, key);

	while (node && node->key != key)
		node = node->next;
	return node;
}

static void grow(struct table *table)
{
	struct table old = *table;

	table->size = old.size * 2;
	table->heads = calloc(table->size, sizeof(*table->heads));
	if (!table->heads) {
		*table = old; /* longer chains work, too */
		return;
	}
	for (uint32_t i = 0; i < old.size; i++) {
		struct node *node = old.heads[i];

		while (node) {
			struct node *next = node->next, **head = head_of(table, node->key);

			node->next = *head;
			*head = node;
			node = next;
		}
	}
	free(old.heads);
}

void table_add(struct table *table, struct node *node, uint64_t key)
{
	struct node **head;

	if (table->used >= table->size)
		grow(table);
	head = head_of(table, key);
	node->key = key;
	node->next = *head;
	*head = node;
	table->used++;
}

void table_remove(struct table *table, struct node *node)
{
	struct node **at = head_of(table, node->key);

	while (*at && *at != node)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = node->next;
	table->used--;
}

void table_each(struct table *table, void (*fn)(struct node *node, void *opaque), void *opaque)
{
	for (uint32_t i = 0; i < table->size; i++) {
		struct node *node = table->heads[i];

		while (node) {
			struct node *next = node->next;

			fn(node, opaque);
			node = next;
		}
	}
}

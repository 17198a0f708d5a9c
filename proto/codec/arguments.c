#include "proto/codec/arguments.h"

#include "proto/base/errcode.h"

static int read_named(struct rmd_slice message, struct rmd_argument *ret)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	int rc;
	*ret = (struct rmd_argument){.by_name = true};
	while ((rc = rmd_wire_next(&reader, &field)) > 0) {
		if (field.type == RMD_WIRE_LEN && field.number == 1)
			ret->name = field.bytes;
		else if (field.type == RMD_WIRE_LEN && field.number == 2)
			ret->value = field.bytes;
	}
	if (rc < 0)
		return rc;
	bool good = ret->name.len <= RMD_ARGUMENT_NAME_MAX &&
		    rmd_wire_utf8_valid(ret->name);
	return good ? 1 : RMD_EPROTO;
}

int rmd_arguments_next(struct rmd_wire_reader *reader, struct rmd_argument *ret_argument)
{
	struct rmd_wire_field field;
	struct rmd_argument argument = {0};
	int rc;
	while ((rc = rmd_wire_next(reader, &field)) > 0) {
		if (field.type != RMD_WIRE_LEN || field.number > 2)
			continue;
		if (field.number == 1)
			argument.value = field.bytes;
		else
			rc = read_named(field.bytes, &argument);
		break;
	}
	if (rc > 0)
		*ret_argument = argument;
	return rc;
}

int rmd_arguments_count(struct rmd_slice bytes, uint32_t *ret_positional,
			uint32_t *ret_named)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(bytes);
	struct rmd_argument argument;
	uint32_t counts[2] = {0, 0};
	int rc;
	while ((rc = rmd_arguments_next(&reader, &argument)) > 0)
		if (++counts[argument.by_name] > RMD_ARGUMENTS_MAX)
			return RMD_ELIMIT;
	if (rc < 0)
		return rc;
	*ret_positional = counts[0];
	*ret_named = counts[1];
	return 0;
}

static int get_named(const struct rmd_argument *argument, struct rmd_arena *arena,
		     struct remuda_entry *ret)
{
	if (arena->limit_bytes != 0 &&
	    argument->name.len + 1 > arena->limit_bytes - arena->used_bytes)
		return RMD_ELIMIT;
	const char *name = rmd_arena_copy(arena, argument->name);
	if (name == NULL)
		return RMD_ENOMEM;
	ret->key.kind = REMUDA_STRING;
	ret->key.u.string = (struct remuda_string){name, argument->name.len};
	return rmd_value_get(argument->value, arena, &ret->value);
}

int rmd_arguments_get(struct rmd_slice bytes, struct rmd_arena *arena,
		      struct rmd_arguments *ret_arguments, uint32_t *ret_at)
{
	uint32_t positional, named, at[2] = {0, 0};
	int rc = rmd_arguments_count(bytes, &positional, &named);
	if (rc < 0)
		return rc;
	size_t args_bytes = positional * sizeof(struct remuda_value);
	size_t room = args_bytes + named * sizeof(struct remuda_entry);
	if (arena->limit_bytes != 0 && room > arena->limit_bytes - arena->used_bytes)
		return RMD_ELIMIT;
	uint8_t *memory = rmd_arena_alloc(arena, room);
	if (memory == NULL)
		return RMD_ENOMEM;
	struct remuda_value *args = (void *)memory;
	struct remuda_entry *kwargs = (void *)(memory + args_bytes);
	struct rmd_wire_reader reader = rmd_wire_reader_of(bytes);
	struct rmd_argument argument;
	while (rmd_arguments_next(&reader, &argument) > 0) {
		uint32_t i = at[argument.by_name]++;
		rc = argument.by_name ? get_named(&argument, arena, &kwargs[i])
				      : rmd_value_get(argument.value, arena, &args[i]);
		if (rc < 0 && ret_at != NULL)
			*ret_at = argument.by_name ? positional + i : i;
		if (rc < 0)
			return rc;
	}
	size_t twin;
	rc = rmd_value_keys_distinct(kwargs, named, &twin);
	if (rc < 0)
		return rc == RMD_EEXIST ? RMD_EPROTO : rc;
	*ret_arguments = (struct rmd_arguments){args, positional, kwargs, named};
	return 0;
}

void rmd_arguments_put(struct rmd_wire_writer *writer, const struct remuda_value *value)
{
	rmd_value_put_field(writer, 1, value);
}

void rmd_arguments_put_named(struct rmd_wire_writer *writer, struct rmd_slice name,
			     const struct remuda_value *value)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, 2);
	rmd_wire_put_bytes_nz(writer, 1, name);
	rmd_value_put_field(writer, 2, value);
	rmd_wire_close(writer, nest);
}

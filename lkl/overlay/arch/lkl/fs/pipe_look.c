// SPDX-License-Identifier: GPL-2.0
/*
 * What is in a pipe, without taking it out: for a copy to a file of the host, which may take less. tee(2) does the same with a pipe
 * (fs/splice.c, link_pipe()).
 */
#include <linux/file.h>
#include <linux/highmem.h>
#include <linux/pipe_fs_i.h>
#include <linux/uaccess.h>
#include "pipe_look.h"

static long copy_buffer(struct pipe_inode_info *pipe, struct pipe_buffer *buf, char __user *to, size_t size)
{
	size_t n = min_t(size_t, buf->len, size);
	long err = pipe_buf_confirm(pipe, buf);
	void *page;

	if (err)
		return err;
	page = kmap_local_page(buf->page);
	err = copy_to_user(to, page + buf->offset, n) ? -EFAULT : (long)n;
	kunmap_local(page);
	return err;
}

/* private call: how many bytes were copied; 0: there are none */
long lkl_pipe_look(int fd, char __user *to, size_t size)
{
	struct fd f = fdget(fd);
	struct pipe_inode_info *pipe = f.file ? get_pipe_info(f.file, false) : NULL;
	unsigned int tail;
	size_t done = 0;
	long n = 0;

	if (!pipe || !(f.file->f_mode & FMODE_READ)) {
		fdput(f);
		return -EBADF;
	}
	pipe_lock(pipe);
	for (tail = pipe->tail; tail != pipe->head && done < size; tail++) {
		n = copy_buffer(pipe, &pipe->bufs[tail & (pipe->ring_size - 1)], to + done, size - done);
		if (n < 0)
			break;
		done += n;
	}
	pipe_unlock(pipe);
	fdput(f);
	return done ?: n;
}

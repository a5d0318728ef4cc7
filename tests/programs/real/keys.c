/* SPDX-License-Identifier: GPL-2.0-only */
/* Prints 2,000 P-256 public keys of known private ones: their table is data amid libcrypto's text, with bytes that look
 * like system calls. */
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT *point = EC_POINT_new(group);
	BIGNUM *scalar = BN_new();
	unsigned char digest[SHA256_DIGEST_LENGTH];

	for (int i = 0; i < 2000; i++) {
		SHA256((unsigned char *)&i, sizeof(i), digest);
		BN_bin2bn(digest, sizeof(digest), scalar);
		if (!EC_POINT_mul(group, point, scalar, NULL, NULL, NULL))
			return 1;
		char *text = EC_POINT_point2hex(group, point, POINT_CONVERSION_COMPRESSED, NULL);
		puts(text);
		OPENSSL_free(text);
	}
	return 0;
}

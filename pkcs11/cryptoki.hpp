// Cryptoki 2.40 as p11-kit declares it, in the spelling of the standard.
#pragma once

#include <p11-kit/pkcs11.h>

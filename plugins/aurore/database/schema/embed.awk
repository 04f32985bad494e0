# SPDX-License-Identifier: MIT
#
# embed - the migrations as a C header, for schema.c.
#
#   awk -f embed.awk 001_schema.sql 002_event.sql ... > schema_sql.h
#
# Each file becomes an array of its lines: a C compiler need not take a string
# literal of more than 4095 bytes. The files are migration 1, 2, ... in this
# order; a list with a gap, or in another order, is refused.

function refuse(reason) {
  printf "embed.awk: %s: %s\n", FILENAME, reason > "/dev/stderr"
  failed = 1
  exit 1
}

BEGIN {
  print "/* Made from the files of schema/ by schema/embed.awk. */"
}

FNR == 1 {
  name = FILENAME
  sub(/^.*\//, "", name)
  if (name !~ /^[0-9][0-9][0-9]_[a-z_]+\.sql$/)
    refuse("the name is not NNN_noun.sql")
  if (substr(name, 1, 3) + 0 != ++count)
    refuse("expected migration " count)
  if (count > 1)
    print "    NULL};"
  names[count] = name
  printf "\nstatic const char *const migration_%d[] = {\n", count
}

{
  if ($0 ~ /[^ -~]/)
    refuse("line " FNR " holds a character that is not printable ASCII")
  gsub(/\\/, "&&")
  gsub(/"/, "\\\"")
  printf "    \"%s\\n\",\n", $0
}

END {
  if (failed)
    exit 1
  if (count == 0) {
    print "embed.awk: no migration given" > "/dev/stderr"
    exit 1
  }
  print "    NULL};"
  print "\nstatic const struct {"
  print "  const char *name;"
  print "  const char *const *lines; /* ends with NULL */"
  print "} migrations[] = {"
  for (i = 1; i <= count; i++)
    printf "    {\"%s\", migration_%d},\n", names[i], i
  print "};"
}

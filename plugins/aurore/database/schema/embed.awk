# SPDX-License-Identifier: MIT
#
# embed - the migrations as a C header, for schema.c.
#
#   awk -f embed.awk 001_schema.sql 002_event.sql ... > schema_sql.h
#
# Each file becomes an array of its lines: a C compiler need not take a string
# literal of more than 4095 bytes. The files up to last_version are migration 1,
# 2, ... in this order; a list with a gap, or in another order, is refused. What
# follows are additions to that version, each with a higher number.

function refuse(reason) {
  printf "embed.awk: %s: %s\n", FILENAME, reason > "/dev/stderr"
  failed = 1
  exit 1
}

BEGIN {
  last_version = 9
  print "/* Made from the files of schema/ by schema/embed.awk. */"
}

FNR == 1 {
  name = FILENAME
  sub(/^.*\//, "", name)
  if (name !~ /^[0-9][0-9][0-9]_[a-z_]+\.sql$/)
    refuse("the name is not NNN_noun.sql")
  number = substr(name, 1, 3) + 0
  if (++count <= last_version && number != count)
    refuse("expected migration " count)
  if (number <= last_number)
    refuse("expected a number above " last_number)
  if (count > 1)
    print "    NULL};"
  last_number = number
  names[count] = substr(name, 1, length(name) - length(".sql"))
  printf "\nstatic const char *const migration_%d[] = {\n", count
}

{
  if ($0 ~ /[^ -~]/)
    refuse("line " FNR " holds a character that is not printable ASCII")
  gsub(/\\/, "&&")
  gsub(/"/, "\\\"")
  printf "    \"%s\\n\",\n", $0
}

function list(name, first, last) {
  printf "\nstatic const struct migration %s[] = {\n", name
  for (i = first; i <= last; i++)
    printf "    {\"%s\", migration_%d},\n", names[i], i
  print "};"
}

END {
  if (failed)
    exit 1
  if (count <= last_version) {
    print "embed.awk: migrations are missing" > "/dev/stderr"
    exit 1
  }
  print "    NULL};"
  print "\nstruct migration {"
  print "  const char *name;"
  print "  const char *const *lines; /* ends with NULL */"
  print "};"
  print "\n/* migrations[n - 1] makes version n. */"
  list("migrations", 1, last_version)
  list("additions", last_version + 1, count)
}

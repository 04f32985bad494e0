#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# embed - the published document as a C header, for document.c: as it is, and
# as JSON.
#
#   perl embed.pl docs/openapi.yaml > document_text.h
#   perl embed.pl --json docs/openapi.yaml     the JSON alone
#
# No library of Debian's build packages reads YAML. What is read here is the
# part of it that the document uses: block mappings and sequences, flow ones,
# plain, quoted and block scalars, comments that have a line of their own. All
# else is refused, with its line. tests/integration/test_openapi.py compares
# the result with PyYAML's.
use strict;
use warnings;

my ( @lines, $at );    # the document, and the line that is read next
my $source;

sub refuse {
    my ($reason) = @_;
    die sprintf "embed.pl: %s:%d: %s\n", $source, $at + 1, $reason;
}

# --- JSON ------------------------------------------------------------------

sub json_string {
    my ($text) = @_;
    my %short = ( "\n" => '\n', "\t" => '\t', '"' => '\"', '\\' => '\\\\' );
    $text =~ s/([\x00-\x1f"\\])/$short{$1} \/\/ sprintf '\u%04x', ord $1/ge;
    return "\"$text\"";
}

# What an unquoted scalar is.
sub json_plain {
    my ($text) = @_;
    return 'null' if $text =~ /^(?:null|~|)$/;
    return $text if $text =~ /^(?:true|false)$/;
    return $text if $text =~ /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$/;
    refuse("'$text' means different things to different readers; quote it")
      if $text =~ /^(?:yes|no|on|off|y|n|true|false|null)$/i
      || $text =~ /^[-+]?(?:\.?[0-9][0-9_]*\.?[0-9_]*(?:e[-+]?[0-9]+)?|\.inf)$/i
      || $text =~ /^(?:0[xob][0-9a-f]+|[0-9]+(?::[0-9]+)+|[0-9]{4}-[0-9]{2}-.*)$/i;
    refuse("'$text' needs quotes")
      if $text =~ /^[&*!|>'"%@`{}\[\],?#]/ || $text =~ /: |:$| #/;
    return json_string($text);
}

# The pairs "key":value, each key once.
sub json_object {
    my (@pairs) = @_;
    my %seen;
    for my $pair (@pairs) {
        refuse("the key $pair->[0] is there twice") if $seen{ $pair->[0] }++;
    }
    return '{' . join( ',', map { "$_->[0]:$_->[1]" } @pairs ) . '}';
}

# --- lines -----------------------------------------------------------------

# The indentation of the next line that has content; -1: there is none.
sub next_indent {
    $at++ while $at < @lines && $lines[$at] =~ /^\s*(?:#.*)?$/;
    return -1 if $at >= @lines;
    refuse("a tab") if $lines[$at] =~ /^ *\t/;
    return length( ( $lines[$at] =~ /^( *)/ )[0] );
}

# The lines of a block scalar, which are all that are further in.
sub block_scalar {
    my ( $header, $parent ) = @_;
    my ( $style, $chomp ) = $header =~ /^([|>])(-?)$/
      or refuse("a block scalar is |, |-, > or >-");
    my ( @block, $indent );
    for ( ; $at < @lines ; $at++ ) {
        my ($spaces) = $lines[$at] =~ /^( *)/;
        if ( $lines[$at] !~ /\S/ ) { push @block, ''; next; }
        last if length $spaces <= $parent;
        $indent //= length $spaces;
        refuse("a line that is less indented than the first")
          if length $spaces < $indent;
        push @block, substr $lines[$at], $indent;
    }
    pop @block while @block && $block[-1] eq '';
    my $text = join "\n", @block;
    if ( $style eq '>' ) {
        refuse("a folded line that is indented") if $text =~ /^ /m;
        $text =~ s/(?<!\n)\n(?!\n)/ /g;
        $text =~ s/\n(\n+)/$1/g;
    }
    return json_string( $text . ( $chomp eq '' ? "\n" : '' ) );
}

# --- flow ------------------------------------------------------------------

# Text that goes on as long as its quotes and brackets are open.
sub is_open {
    my ($text) = @_;
    $text =~ s/'(?:[^']|'')*'|"(?:[^"\\]|\\.)*"//g;
    my $opened = () = $text =~ /[{\[]/g;
    my $closed = () = $text =~ /[}\]]/g;
    return $opened > $closed || $text =~ /^\s*['"]/;
}

sub quoted {
    my ($rest) = @_;
    if ( $$rest =~ s/^'((?:[^']|'')*)'// ) {
        my $text = $1;
        $text =~ s/''/'/g;
        return json_string($text);
    }
    if ( $$rest =~ s/^"((?:[^"\\]|\\["\\nt])*)"// ) {
        my $text = $1;
        my %long = ( n => "\n", t => "\t", '"' => '"', '\\' => '\\' );
        $text =~ s/\\(.)/$long{$1}/g;
        return json_string($text);
    }
    refuse("an open or unknown quotation");
}

sub flow_value {
    my ($rest) = @_;
    $$rest =~ s/^\s+//;
    return flow_mapping($rest)  if $$rest =~ s/^\{//;
    return flow_sequence($rest) if $$rest =~ s/^\[//;
    return quoted($rest)        if $$rest =~ /^['"]/;
    $$rest =~ s/^((?:[^,{}\[\]:]|:(?! ))*)// or refuse("no value");
    my $text = $1;
    $text =~ s/\s+$//;
    return json_plain($text);
}

sub flow_mapping {
    my ($rest) = @_;
    my @pairs;
    until ( $$rest =~ s/^\s*\}// ) {
        $$rest =~ s/^\s*,// or refuse("no comma") if @pairs;
        $$rest =~ s/^\s+//;
        my $key =
            $$rest =~ /^['"]/                    ? quoted($rest)
          : $$rest =~ s/^([A-Za-z0-9_\$.\/-]+)// ? json_string($1)
          :                                        refuse("no key");
        $$rest =~ s/^:(?: |$)// or refuse("no value for $key");
        push @pairs, [ $key, flow_value($rest) ];
    }
    return json_object(@pairs);
}

sub flow_sequence {
    my ($rest) = @_;
    my @items;
    until ( $$rest =~ s/^\s*\]// ) {
        $$rest =~ s/^\s*,// or refuse("no comma") if @items;
        push @items, flow_value($rest);
    }
    return '[' . join( ',', @items ) . ']';
}

# --- blocks ----------------------------------------------------------------

# A value that begins on the line of its key or dash, which was read; the lines
# that are further in than "parent" belong to it.
sub inline_value {
    my ( $text, $parent ) = @_;
    return block_scalar( $text, $parent ) if $text =~ /^[|>]/;
    while ( $text =~ /^['"{\[]/ ? is_open($text) : next_indent() > $parent ) {
        refuse("it does not end") if next_indent() <= $parent;
        ( my $more = $lines[ $at++ ] ) =~ s/^\s+//;
        $text .= " $more";
    }
    return json_plain($text) if $text !~ /^['"{\[]/;
    my $rest  = $text;
    my $value = flow_value( \$rest );
    refuse("'$rest' behind a value") if $rest =~ /\S/;
    return $value;
}

# What follows a key or a dash that has nothing beside it.
sub value_below {
    my ( $parent, $is_key ) = @_;
    my $indent = next_indent();
    # The dashes of a sequence may be below the key itself.
    my $is_deep = $indent > $parent
      || ( $is_key && $indent == $parent && $lines[$at] =~ /^ *- / );
    return $is_deep ? block($indent) : 'null';
}

my $key_of = qr/('(?:[^']|'')*'|[A-Za-z0-9_\$\/][^:#'"]*?):(?: +(.*?))? *$/;

sub mapping {
    my ($indent) = @_;
    my @pairs;
    while ( next_indent() == $indent && $lines[$at] =~ /^ *$key_of/ ) {
        my ( $key, $value ) = ( $1, $2 );
        $at++;
        my $name = $key =~ /^'/ ? quoted( \$key ) : json_string($key);
        push @pairs,
          [
            $name,
            defined $value && $value ne ''
            ? inline_value( $value, $indent )
            : value_below( $indent, 1 )
          ];
    }
    return json_object(@pairs);
}

sub sequence {
    my ($indent) = @_;
    my @items;
    while ( next_indent() == $indent && $lines[$at] =~ /^ *-( +)(\S.*)$/ ) {
        my ( $gap, $rest ) = ( length $1, $2 );
        if ( $rest !~ /^['"{\[]/ && $rest =~ /^$key_of/ ) {
            # A mapping whose first key is behind the dash.
            substr( $lines[$at], $indent, 1 ) = ' ';
            push @items, mapping( $indent + 1 + $gap );
            next;
        }
        $at++;
        push @items, inline_value( $rest, $indent );
    }
    return '[' . join( ',', @items ) . ']';
}

sub block {
    my ($indent) = @_;
    return $lines[$at] =~ /^ *- / ? sequence($indent) : mapping($indent);
}

sub read_document {
    $at = 0;
    my $json = block( next_indent() );
    refuse("this does not belong here") if next_indent() >= 0;
    return "$json\n";
}

# --- C ---------------------------------------------------------------------

sub c_array {
    my ( $name, $text ) = @_;
    my $row  = join ',', unpack 'C*', $text;
    my $body = '';
    $body .= "    $1,\n" while $row =~ /\G((?:\d+,){0,18}\d+),?/gc;
    return "\nstatic const unsigned char $name\[] = {\n$body};\n";
}

my $is_json = @ARGV && $ARGV[0] eq '--json' ? shift @ARGV : undef;
die "usage: embed.pl [--json] FILE\n" if @ARGV != 1;
$source = $ARGV[0];
open my $file, '<', $source or die "embed.pl: $source: $!\n";
my $yaml = do { local $/; <$file> };
close $file;
@lines = split /\n/, $yaml;
my $json = read_document();
if ($is_json) {
    print $json;
    exit 0;
}
print "/* Made from docs/openapi.yaml by api/document/embed.pl. */\n",
  c_array( 'document_yaml', $yaml ), c_array( 'document_json', $json );

package console

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"text/template/parse"

	"github.com/stretchr/testify/require"
)

// fieldsIn calls found with each name that a template takes of a value.
func fieldsIn(node reflect.Value, found func(string)) {
	switch node.Kind() {
	case reflect.Interface, reflect.Pointer:
		if !node.IsNil() {
			fieldsIn(node.Elem(), found)
		}
	case reflect.Slice:
		for i := range node.Len() {
			fieldsIn(node.Index(i), found)
		}
	case reflect.Struct:
		switch n := node.Addr().Interface().(type) {
		case *parse.Tree:
			return
		case *parse.FieldNode:
			for _, name := range n.Ident {
				found(name)
			}
		case *parse.VariableNode:
			for _, name := range n.Ident[1:] {
				found(name)
			}
		case *parse.ChainNode:
			for _, name := range n.Field {
				found(name)
			}
		}
		for i := range node.NumField() {
			if node.Type().Field(i).IsExported() {
				fieldsIn(node.Field(i), found)
			}
		}
	}
}

// declared are the exported names of fields, and of methods, in the program's own packages that
// pages show; own are the methods of this one.
func declared(t *testing.T) (fields, methods, own map[string]bool) {
	t.Helper()
	fields, methods, own = map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, folder := range []string{".", "../../platform/contract", "../../platform/httpapi", "../../platform/provider", "../../platform/app/doctor"} {
		paths, err := filepath.Glob(folder + "/*.go")
		require.NoError(t, err)
		require.NotEmpty(t, paths, folder)
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.StructType:
					for _, f := range n.Fields.List {
						for _, name := range f.Names {
							fields[name.Name] = true
						}
					}
				case *ast.FuncDecl:
					if _, pointer := receiver(n).(*ast.StarExpr); n.Recv != nil && !pointer { // pages are shown by value
						methods[n.Name.Name] = true
						own[n.Name.Name] = own[n.Name.Name] || folder == "."
					}
				}
				return true
			})
		}
	}
	return fields, methods, own
}

func receiver(f *ast.FuncDecl) ast.Expr {
	if f.Recv == nil {
		return nil
	}
	return f.Recv.List[0].Type
}

// A method that a template names is not found when the page is shown; one that no test shows would
// fail before somebody's eyes. A field of the same name elsewhere hides it, so that here a method has
// another name than all that templates take. (html/template would find it, and cost 11 MB of the program.)
func TestTemplatesNameFieldsAndNotMethods(t *testing.T) {
	fields, methods, own := declared(t)
	require.True(t, methods["PathParams"] && own["Words"] && fields["Body"])
	files, err := filepath.Glob("templates/*.html")
	require.NoError(t, err)
	seen := 0
	functions := map[string]any{}
	for name, f := range (&Module{}).functions() {
		functions[name] = f
	}
	for _, name := range strings.Fields("and call html index slice js len not or print printf println urlquery eq ge gt le lt ne") {
		functions[name] = true
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		trees, err := parse.Parse(filepath.Base(file), string(text), "", "", functions)
		require.NoError(t, err)
		for _, tree := range trees {
			fieldsIn(reflect.ValueOf(tree.Root), func(name string) {
				seen++
				require.False(t, own[name] || methods[name] && !fields[name], "%s: .%s is a method, which needs a function in format.go and a name in lower case", file, name)
			})
		}
	}
	require.Greater(t, seen, 500)
}

// The standard package for templates, linked anywhere, keeps every method of every type.
func TestTheProgramHasNoOtherTemplates(t *testing.T) {
	for _, root := range []string{"../../modules", "../../platform", "../../migrations"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			require.NoError(t, err)
			for _, i := range file.Imports {
				require.NotContains(t, []string{`"text/template"`, `"html/template"`}, i.Path.Value, path)
			}
			return nil
		}))
	}
}

# The R process of a command context: reads "run" lines on its standard input, runs BOATHOUSE_FOLDER/command.R in the
# global environment, prints what a console would print, leaves the outcome in result.json and plots as plot*.png, and
# ends each command's output with the mark. Started by boathouse.spark.RShell; needs R 3.5 and base packages alone.
local({
  mark <- Sys.getenv("BOATHOUSE_MARK")
  folder <- Sys.getenv("BOATHOUSE_FOLDER")
  Sys.unsetenv(c("BOATHOUSE_MARK", "BOATHOUSE_FOLDER"))
  max_rows <- 10000L
  state <- new.env()
  state$pending <- FALSE
  state$table <- NULL
  state$html <- ""
  state$widgets <- list()
  options(warn = 1, device = function(...) {
    grDevices::png(filename = file.path(folder, "plot%04d.png"), width = 720, height = 480)
  })

  # -- JSON, by base R

  quoted <- function(x) {
    x <- enc2utf8(as.character(x))
    x <- gsub("\\", "\\\\", x, fixed = TRUE)
    x <- gsub("\"", "\\\"", x, fixed = TRUE)
    x <- gsub("\n", "\\n", x, fixed = TRUE)
    x <- gsub("\r", "\\r", x, fixed = TRUE)
    x <- gsub("\t", "\\t", x, fixed = TRUE)
    x <- gsub("[\001-\037]", "?", x)
    paste0("\"", x, "\"")
  }
  column_type <- function(x) {
    if (inherits(x, "Date")) "date"
    else if (inherits(x, "POSIXt")) "timestamp"
    else if (is.factor(x)) "string"
    else if (is.logical(x)) "boolean"
    else if (is.integer(x)) "integer"
    else if (is.numeric(x)) "double"
    else "string"
  }
  cells <- function(x) {
    kind <- column_type(x)
    text <- switch(kind,
      boolean = ifelse(x, "true", "false"),
      integer = format(x, scientific = FALSE, trim = TRUE),
      double = ifelse(is.finite(x), vapply(x, function(one) format(one, digits = 15), ""),
                      ifelse(is.nan(x), "\"NaN\"", ifelse(x > 0, "\"Infinity\"", "\"-Infinity\""))),
      timestamp = quoted(format(as.POSIXct(x), "%Y-%m-%dT%H:%M:%OS3+00:00", tz = "UTC")),
      quoted(if (is.list(x)) vapply(x, function(one) paste(format(one), collapse = ", "), "") else as.character(x)))
    missing <- if (is.list(x)) rep(FALSE, length(x)) else is.na(x) & !(is.numeric(x) & is.nan(x))
    text[missing] <- "null"
    text
  }
  table_json <- function(frame) {
    frame <- as.data.frame(frame, stringsAsFactors = FALSE)
    truncated <- nrow(frame) > max_rows
    frame <- utils::head(frame, max_rows)
    fields <- paste0("{\"name\":", quoted(names(frame)), ",\"type\":",
                     quoted(quoted(vapply(frame, column_type, ""))), ",\"metadata\":\"{}\"}", collapse = ",")
    if (length(frame) == 0) fields <- ""
    rows <- if (nrow(frame) == 0) "" else
      paste0("[", do.call(paste, c(unname(lapply(frame, cells)), sep = ",")), "]", collapse = ",")
    paste0("\"schema\":[", fields, "],\"data\":[", rows, "],\"truncated\":", if (truncated) "true" else "false")
  }

  # -- what commands find beside R itself

  tools <- new.env()
  exit_condition <- function(value) structure(class = c("boathouse_exit", "condition"),
                                              list(message = as.character(value), call = NULL))
  tools$display <- function(x, ...) {
    if (is.data.frame(x) || is.matrix(x)) state$table <- x else print(x)
    invisible(NULL)
  }
  tools$displayHTML <- function(html) {
    state$html <- paste0(state$html, html)
    invisible(NULL)
  }
  widget <- function(name, default) {
    if (is.null(state$widgets[[name]])) state$widgets[[name]] <- as.character(default)
    invisible(NULL)
  }
  tools$dbutils.widgets.text <- function(name, defaultValue, label = name) widget(name, defaultValue)
  tools$dbutils.widgets.dropdown <- function(name, defaultValue, choices, label = name) {
    if (!(defaultValue %in% unlist(choices)))
      stop("The default value '", defaultValue, "' of widget ", name, " is not one of its choices", call. = FALSE)
    widget(name, defaultValue)
  }
  tools$dbutils.widgets.multiselect <- tools$dbutils.widgets.dropdown
  tools$dbutils.widgets.combobox <- function(name, defaultValue, choices, label = name) widget(name, defaultValue)
  tools$dbutils.widgets.get <- function(name) {
    value <- state$widgets[[name]]
    if (is.null(value)) stop("InputWidgetNotDefined: No input widget named ", name, " is defined", call. = FALSE)
    value
  }
  tools$dbutils.widgets.remove <- function(name) invisible(state$widgets[[name]] <- NULL)
  tools$dbutils.widgets.removeAll <- function() invisible(state$widgets <- list())
  state$calls <- 0L
  hex <- function(x) paste0("x", paste(as.character(charToRaw(enc2utf8(as.character(x)))), collapse = ""))
  raw_of <- function(word) {
    if (nchar(word) < 3L) return(raw(0))
    at <- seq.int(2L, nchar(word), by = 2L)
    as.raw(strtoi(substring(word, at, at + 1L), 16L))
  }
  text_of <- function(word) {
    text <- rawToChar(raw_of(word))
    Encoding(text) <- "UTF-8"
    text
  }
  system_out <- function(text) {
    # The real standard output, also while a command has diverted its own (`capture.output`).
    out <- file("/dev/stdout", "ab", raw = TRUE)
    writeChar(text, out, eos = NULL)
    close(out)
  }
  call_platform <- function(name, ...) {
    # Base R opens no unix sockets: the driver, which has the calls of Scala, makes this one.
    suspendInterrupts({
      state$calls <- state$calls + 1L
      number <- as.character(state$calls)
      writeLines(paste(c(number, name, vapply(list(...), hex, "")), collapse = " "), file.path(folder, "call"))
      flush(stdout())
      system_out(mark)
    })
    repeat {
      line <- readLines(input, n = 1L)
      if (!length(line)) quit("no", runLast = FALSE)
      words <- strsplit(line, " ", fixed = TRUE)[[1]]
      if (length(words) >= 3L && words[1] == "answer" && words[2] == number) break
    }
    if (words[3] != "ok") stop(text_of(words[4]), call. = FALSE)
    words[-(1:3)]
  }
  done <- function(...) invisible(text_of(call_platform(...)) == "TRUE")
  flag <- function(x) if (isTRUE(x)) "TRUE" else "FALSE"
  tools$dbutils.fs.ls <- function(dir) {
    values <- vapply(call_platform("fs.ls", dir), text_of, "", USE.NAMES = FALSE)
    column <- function(at) values[seq_along(values) %% 4L == at %% 4L]
    data.frame(path = column(1L), name = column(2L), size = as.numeric(column(3L)),
               modificationTime = as.numeric(column(4L)), stringsAsFactors = FALSE)
  }
  tools$dbutils.fs.head <- function(file, maxBytes = 65536L)
    text_of(call_platform("fs.head", file, format(maxBytes, scientific = FALSE)))
  tools$dbutils.fs.put <- function(file, contents, overwrite = FALSE) done("fs.put", file, contents, flag(overwrite))
  tools$dbutils.fs.cp <- function(from, to, recurse = FALSE) done("fs.cp", from, to, flag(recurse))
  tools$dbutils.fs.mv <- function(from, to, recurse = FALSE) done("fs.mv", from, to, flag(recurse))
  tools$dbutils.fs.rm <- function(dir, recurse = FALSE) done("fs.rm", dir, flag(recurse))
  tools$dbutils.fs.mkdirs <- function(dir) done("fs.mkdirs", dir)
  for (name in c("mount", "mounts", "refreshMounts", "updateMount", "unmount")) local({
    refused <- paste0("fs.", name)
    assign(paste0("dbutils.", refused), function(...) call_platform(refused), envir = tools)
  })
  tools$dbutils.secrets.get <- function(scope, key) text_of(call_platform("secrets.get", scope, key))
  tools$dbutils.secrets.getBytes <- function(scope, key) raw_of(call_platform("secrets.get", scope, key))
  tools$dbutils.secrets.list <- function(scope)
    data.frame(key = vapply(call_platform("secrets.list", scope), text_of, "", USE.NAMES = FALSE), stringsAsFactors = FALSE)
  tools$dbutils.secrets.listScopes <- function()
    data.frame(name = vapply(call_platform("secrets.listScopes"), text_of, "", USE.NAMES = FALSE), stringsAsFactors = FALSE)
  tools$dbutils.notebook.exit <- function(value) signalCondition(exit_condition(value))
  tools$dbutils.help <- function() {
    cat("dbutils in R: dbutils.fs.ls, head, put, cp, mv, rm, mkdirs; dbutils.secrets.get, getBytes, list, listScopes;",
        "dbutils.widgets.text, dropdown, combobox, multiselect, get, remove, removeAll;",
        "dbutils.notebook.exit\n")
  }
  attach(tools, name = "boathouse")

  # -- one command

  describe <- function(condition) {
    call <- conditionCall(condition)
    text <- gsub(file.path(folder, "command.R"), "<command>", conditionMessage(condition), fixed = TRUE)
    if (grepl("no package called .(SparkR|sparklyr)", text)) {
      text <- paste0(text, ". The runtime brings neither SparkR nor sparklyr: use a python, scala or sql context for Spark")
    }
    own <- is.null(call) || identical(call[[1]], quote(eval)) || identical(call[[1]], quote(parse))
    if (own) paste0("Error: ", text) else paste0("Error in ", deparse(call, nlines = 1L)[1], ": ", text)
  }
  run <- function() {
    graphics.off()
    calls <- list()
    path <- file.path(folder, "command.R")
    base <- sys.nframe()
    tryCatch(withCallingHandlers({
      for (each in parse(path, keep.source = TRUE, encoding = "UTF-8")) {
        shown <- withVisible(eval(each, globalenv()))
        if (shown$visible) if (isS4(shown$value)) methods::show(shown$value) else print(shown$value)
      }
      list(status = "ok")
    }, error = function(condition) {
      all <- sys.calls()
      inner <- which(vapply(all, function(call) identical(call, quote(eval(each, globalenv()))), NA))
      calls <<- if (length(inner)) utils::head(all[-seq_len(max(inner))], -2) else list()
    }),
    boathouse_exit = function(condition) list(status = "exit", summary = conditionMessage(condition)),
    error = function(condition) {
      summary <- describe(condition)
      lines <- vapply(utils::head(calls, 40), function(call) paste0("  ", deparse(call, nlines = 1L)[1]), "")
      list(status = "error", summary = summary,
           cause = paste(c(summary, if (length(lines)) "Calls:", lines), collapse = "\n"))
    })
  }
  finish <- function(outcome) suspendInterrupts({
    unlink(file.path(folder, "call"))
    try(graphics.off(), silent = TRUE)
    shown <- if (outcome$status == "ok" && !is.null(state$table))
      tryCatch(table_json(state$table), error = function(condition) {
        outcome <<- list(status = "error", summary = describe(condition), cause = describe(condition))
        NULL
      })
    text <- c(paste0("\"status\":", quoted(outcome$status)),
              if (!is.null(outcome$summary)) paste0("\"summary\":", quoted(outcome$summary)),
              if (!is.null(outcome$cause)) paste0("\"cause\":", quoted(outcome$cause)),
              paste0("\"html\":", quoted(state$html)), shown)
    while (sink.number() > 0) sink()
    out <- file(file.path(folder, "result.json"), open = "w", encoding = "UTF-8")
    writeLines(enc2utf8(paste0("{", paste(text, collapse = ","), "}")), out, useBytes = TRUE)
    close(out)
    state$table <- NULL
    state$html <- ""
    state$pending <- FALSE
    flush(stdout())
    flush(stderr())
    cat(mark)
    flush(stdout())
  })

  input <- file("stdin", "r")
  cat(mark)
  flush(stdout())
  repeat tryCatch({
    repeat {
      if (!state$pending) {
        line <- readLines(input, n = 1L)
        if (!length(line)) quit("no", runLast = FALSE)
        if (line != "run") next  # the answer to a call that was cancelled
        state$pending <- TRUE
      }
      outcome <- run()
      finish(outcome)
    }
  }, interrupt = function(condition) if (state$pending) finish(list(status = "cancelled")))
})
